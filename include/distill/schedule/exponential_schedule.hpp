#pragma once

#include <algorithm>
#include <cmath>
#include <distill/schedule/parameter.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI {

/// Multiplication by a factor, smoothly or in stairs.
///
/// Value at step s: from factor^(s / every); with `staircase`, the exponent is rounded down.
/// Boundaries: exactly `from` at step 0; with `staircase`, steps 0 to every - 1 have `from`, step `every`
/// the next value.
/// A factor below 1 has no floor but 0, one above 1 no ceiling: put `clamped` around it.
/// Options: `from` (finite); `factor` (> 0); `every` (>= 1), the steps in which the factor is applied once;
/// `staircase`.
/// Throws: parameter_error for a parameter outside its range or a negative step.
/// Special values: a factor above 1 ends at infinity, as pow does.
struct exponential_schedule {
  double from = 1, factor = 1;
  std::int64_t every = 1;
  bool staircase = false;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (from == 0) return from;
    // Whole powers and the rest apart: a long exponent's rounding would be multiplied by its length.
    const double whole = std::pow(factor, static_cast<double>(step / every));
    const double rest = static_cast<double>(step % every) / static_cast<double>(every);
    return from * (staircase || rest == 0 ? whole : whole * std::pow(factor, rest));
  }
  value_bounds bounds() const {
    const double end = factor == 1 || from == 0 ? from
                       : factor < 1             ? 0
                                    : std::copysign(std::numeric_limits<double>::infinity(), from);
    return {std::min(from, end), std::max(from, end)};
  }
  bool operator==(const exponential_schedule&) const = default;

  static constexpr const char* name = "exponential_schedule";
  static constexpr auto parameters() {
    using self = exponential_schedule;
    return std::tuple(parameter{"from", &self::from, value_range::any, true},
                      parameter{"factor", &self::factor, value_range::positive, true},
                      parameter{"every", &self::every, value_range::at_least_one},
                      parameter{"staircase", &self::staircase});
  }
};

}  // namespace distill::inline DISTILL_ABI
