#include "text.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace report {

std::string fixed(double value, int decimals) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(decimals) << value;
  return text.str();
}

std::string signed_fixed(double value, int decimals) {
  return (value < 0 ? "−" : "+") + fixed(std::abs(value), decimals);
}

std::string grouped(long long value) {
  std::string digits = std::to_string(value);
  for (auto place = static_cast<std::ptrdiff_t>(digits.size()) - 3; place > 0; place -= 3) {
    digits.insert(static_cast<std::size_t>(place), 1, ',');
  }
  return digits;
}

std::string counted(long long count, const std::string& noun) {
  return grouped(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string percent(double share, int decimals) { return fixed(100 * share, decimals) + " %"; }

std::string minutes(double seconds) {
  const long whole = std::lround(seconds);
  const std::string rest = std::to_string(whole % 60);
  return std::to_string(whole / 60) + ":" + std::string(2 - rest.size(), '0') + rest;
}

std::size_t width(const std::string& text) {
  // Every byte but UTF-8 continuation bytes begins a character.
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char byte) { return (byte & 0xC0) != 0x80; }));
}

std::string escaped(const std::string& text) {
  std::string html;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '\'':
        html += "&#39;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        html += letter;
    }
  }
  return html;
}

std::string short_number(double value) {
  std::string text = fixed(value, 6);
  text.erase(text.find_last_not_of('0') + 1);
  return text.back() == '.' ? text + "0" : text;
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      std::size_t widest = 0;
      for (const auto& other : rows) widest = std::max(widest, width(other[column]));
      const std::string padding(widest - width(row[column]), ' ');
      text += column == 0 ? row[column] + padding : "  " + padding + row[column];
    }
    text += "\n";
  }
  return text;
}

}  // namespace report
