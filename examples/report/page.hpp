#pragma once

#include <map>
#include <string>
#include <vector>

#include "line_chart.hpp"

namespace report {

using placeholder_values = std::map<std::string, std::string>;

/// A page: the text with every {{name}} replaced by its value. Known without being given: {{style}}, and
/// {{machine}}, {{version}} and {{simd_target}} of this run.
std::string filled_page(std::string text, const placeholder_values& values);

/// The cells of a table of results, which a narrow screen shows one below the other. The first column names
/// the row.
std::string column_heads(const std::vector<std::string>& columns);
std::string table_rows(const std::vector<std::string>& columns,
                       const std::vector<std::vector<std::string>>& rows);

/// The mean over seeds, in a band from the lowest to the highest; `values` by seed and place.
curve curve_over_seeds(const std::string& style, const std::vector<std::vector<double>>& values);

}  // namespace report
