#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace report {

/// How often each expert was picked, for a class, a layer.
struct expert_picks {
  std::string name;
  std::vector<std::int64_t> picks;
};

/// Experts as columns, rows as given, shares of a row in percent.
std::string expert_table(const std::string& row_head, const std::vector<expert_picks>& rows);

/// How even the picks are, as the rest of a sentence and one more.
std::string described_usage(const std::vector<std::int64_t>& picks);

}  // namespace report
