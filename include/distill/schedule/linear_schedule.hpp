#pragma once

#include <algorithm>
#include <cmath>
#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI {

/// A straight line between two values.
///
/// Value at step s: from + (to - from) min(s, steps) / steps.
/// Boundaries: exactly `from` at step 0; exactly `to` at step `steps` and after it; monotone between.
/// Options: `from`, `to` (finite); `steps` (>= 1).
/// Throws: parameter_error for a parameter outside its range or a negative step.
struct linear_schedule {
  double from = 0, to = 1;
  std::int64_t steps = 1;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (step >= steps) return to;
    return std::lerp(from, to, static_cast<double>(step) / static_cast<double>(steps));
  }
  value_bounds bounds() const { return {std::min(from, to), std::max(from, to)}; }
  bool operator==(const linear_schedule&) const = default;

  static constexpr const char* name = "linear_schedule";
  static constexpr auto parameters() {
    return std::tuple(parameter{"from", &linear_schedule::from, value_range::any, true},
                      parameter{"to", &linear_schedule::to, value_range::any, true},
                      parameter{"steps", &linear_schedule::steps, value_range::at_least_one, true});
  }
};

}  // namespace distill::inline DISTILL_ABI
