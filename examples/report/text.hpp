#pragma once

#include <string>
#include <vector>

namespace report {

/// 3.14159 with two decimals: "3.14".
std::string fixed(double value, int decimals);

/// 0.5 with two decimals: "+0.50"; -0.5: "−0.50".
std::string signed_fixed(double value, int decimals);

/// At most six decimals, at least one: "0.002", "5.0".
std::string short_number(double value);

/// 1863690 as "1,863,690".
std::string grouped(long long value);

/// 1 seed as "1 seed", 5 as "5 seeds".
std::string counted(long long count, const std::string& noun);

/// 0.8712 as "87.12 %".
std::string percent(double share, int decimals);

/// 102 seconds as "1:42".
std::string minutes(double seconds);

/// The number of characters a UTF-8 text shows.
std::size_t width(const std::string& text);

/// Text as HTML shows it, also within quotes.
std::string escaped(const std::string& text);

/// Rows of text in columns: the first is flush left, the others flush right.
std::string aligned(const std::vector<std::vector<std::string>>& rows);

}  // namespace report
