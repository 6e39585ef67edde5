#include "expert_table.hpp"

#include <distill/moe/expert_usage.hpp>

#include "text.hpp"

namespace report {
namespace {

/// A table row of the shares, in percent, of one row's picks.
std::string share_row(const std::string& name, const std::vector<std::int64_t>& picks) {
  std::string html = "<tr><th scope='row'>" + name + "</th>";
  for (const double share : distill::usage_of(picks).shares)
    html += "<td style='--share:" + fixed(share, 3) + "'>" + fixed(100 * share, 0) + "</td>";
  return html + "</tr>\n";
}

}  // namespace

std::string expert_table(const std::string& row_head, const std::vector<expert_picks>& rows) {
  std::string html = "<div class='card'><table class='experts'><thead><tr><th>" + row_head + "</th>";
  for (std::size_t e = 0; e < rows.front().picks.size(); ++e)
    html += "<th scope='col'>" + std::to_string(e + 1) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const expert_picks& row : rows) html += share_row(row.name, row.picks);
  return html + "</tbody></table></div>\n";
}

std::string described_usage(const std::vector<std::int64_t>& picks) {
  const distill::expert_usage usage = distill::usage_of(picks);
  return "; used evenly, each would get " + percent(1.0 / static_cast<double>(picks.size()), 1) +
         " of the picks. The most used one got " + fixed(usage.largest_over_mean, 2) +
         " times that, and all together were as diverse as " + fixed(usage.effective_experts, 1) +
         " experts used evenly.";
}

}  // namespace report
