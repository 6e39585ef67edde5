#include "page.hpp"

#include <algorithm>
#include <distill/dispatch.hpp>
#include <distill/version.hpp>

#include "machine.hpp"
#include "page_style.hpp"
#include "spread.hpp"

namespace report {
namespace {

/// The text with every {{name}} replaced.
std::string fill(std::string text, const placeholder_values& values) {
  for (const auto& [name, value] : values) {
    const std::string placeholder = "{{" + name + "}}";
    for (auto found = text.find(placeholder); found != std::string::npos;
         found = text.find(placeholder, found + value.size())) {
      text.replace(found, placeholder.size(), value);
    }
  }
  return text;
}

placeholder_values environment() {
  const auto& version = distill::version;
  return {{"machine", machine_name()},
          {"style", page_style},
          {"version", std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
                          std::to_string(version.patch)},
          {"simd_target", distill::active_target()}};
}

}  // namespace

std::string filled_page(std::string text, const placeholder_values& values) {
  return fill(fill(std::move(text), values), environment());
}

std::string column_heads(const std::vector<std::string>& columns) {
  std::string html;
  for (const std::string& name : columns) html += "<th scope='col'>" + name + "</th>";
  return html;
}

std::string table_rows(const std::vector<std::string>& columns,
                       const std::vector<std::vector<std::string>>& rows) {
  std::string html;
  for (const std::vector<std::string>& row : rows) {
    html += "<tr><th scope='row'>" + row.front() + "</th>";
    for (std::size_t column = 1; column < row.size(); ++column)
      html += "<td data-column='" + columns[column] + "'><span>" + row[column] + "</span></td>";
    html += "</tr>\n";
  }
  return html;
}

curve curve_over_seeds(const std::string& style, const std::vector<std::vector<double>>& values) {
  curve result{style, {}};
  for (std::size_t place = 0; place < values.front().size(); ++place) {
    std::vector<double> here;
    for (const std::vector<double>& seed : values) here.push_back(seed[place]);
    const auto [low, high] = std::minmax_element(here.begin(), here.end());
    result.middle.push_back(spread_of(here).mean);
    result.low.push_back(*low);
    result.high.push_back(*high);
  }
  return result;
}

}  // namespace report
