#pragma once

#include <cmath>
#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI {

/// A straight line up to another schedule's first value, then that schedule.
///
/// Value at step s: from + (then(0) - from) s / steps for s < steps, otherwise then(s - steps): the other
/// schedule counts its own steps from the end of the warm-up.
/// Boundaries: exactly `from` at step 0, so a learning rate warmed up from 0 wastes that step; start from
/// the value wanted there instead. Exactly then(0) at step `steps`.
/// Options: `then`, any schedule, held in place; `steps` (>= 1); `from` (finite).
/// Throws: parameter_error for a parameter outside its range or a negative step; what `then` throws.
template <step_function S>
struct warm_up {
  S then = {};
  std::int64_t steps = 1;
  double from = 0;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (step >= steps) return then(step - steps);
    return std::lerp(from, static_cast<double>(then(0)),
                     static_cast<double>(step) / static_cast<double>(steps));
  }
  bool operator==(const warm_up&) const = default;

  static constexpr const char* name = "warm_up";
  static constexpr auto parameters() {
    return std::tuple(parameter{"then", &warm_up::then, value_range::any, true},
                      parameter{"steps", &warm_up::steps, value_range::at_least_one, true},
                      parameter{"from", &warm_up::from});
  }
};

}  // namespace distill::inline DISTILL_ABI
