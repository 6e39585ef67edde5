// What sums of weighted row values are divided by.
#pragma once

#include <distill/loss/row_options.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline std::size_t rows_that_count(const row_options& rows, std::size_t count) {
  if (rows.row_weights.empty()) return count;
  std::size_t counted = 0;
  for (std::size_t row = 0; row < count; ++row) counted += rows.row_weights[row] != 0 ? 1 : 0;
  return counted;
}

// 0 if no row counts.
inline double denominator_of(const row_options& rows, std::size_t counted, std::size_t values_per_row) {
  if (rows.denominator) return *rows.denominator;
  if (rows.reduction == reduction::none || rows.reduction == reduction::sum) return 1;
  const double per_row = rows.reduction == reduction::mean ? static_cast<double>(values_per_row) : 1;
  return static_cast<double>(counted) * per_row;
}

}  // namespace distill::inline DISTILL_ABI::detail
