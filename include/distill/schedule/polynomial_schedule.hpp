#pragma once

#include <algorithm>
#include <cmath>
#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI {

/// A power of the share of steps that are left.
///
/// Value at step s: to + (from - to) (1 - min(s, steps) / steps)^power.
/// Boundaries: exactly `from` at step 0; exactly `to` at step `steps` and after it; monotone between.
/// Options: `from`, `to` (finite); `steps` (>= 1); `power` (> 0), 1 being a straight line.
/// Throws: parameter_error for a parameter outside its range or a negative step.
struct polynomial_schedule {
  double from = 1, to = 0;
  std::int64_t steps = 1;
  double power = 1;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (step >= steps) return to;
    return std::lerp(to, from,
                     std::pow(static_cast<double>(steps - step) / static_cast<double>(steps), power));
  }
  value_bounds bounds() const { return {std::min(from, to), std::max(from, to)}; }
  bool operator==(const polynomial_schedule&) const = default;

  static constexpr const char* name = "polynomial_schedule";
  static constexpr auto parameters() {
    using self = polynomial_schedule;
    return std::tuple(parameter{"from", &self::from, value_range::any, true},
                      parameter{"to", &self::to, value_range::any, true},
                      parameter{"steps", &self::steps, value_range::at_least_one, true},
                      parameter{"power", &self::power, value_range::positive});
  }
};

}  // namespace distill::inline DISTILL_ABI
