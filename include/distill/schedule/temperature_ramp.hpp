#pragma once

#include <algorithm>
#include <cmath>
#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI {

/// A temperature that is held, then moves by the same amount at every step, then stops. The default values:
/// start at 5, from epoch 6 on add 0.1, stop at 8. Count epochs, or steps with `first` = 6 times the steps of
/// an epoch.
///
/// Value at step s: start for s < first, otherwise start + increment (s - first + 1), not beyond stop.
/// Boundaries: step `first` - 1 is the last with `start`; step `first` has moved once. The value that would
/// pass `stop` is exactly `stop`: with the default values at step 35.
/// Options: `start`, `stop` (> 0); `first` (>= 0); `increment` (finite, of the sign of stop - start, 0 only
/// if they are equal).
/// Throws: parameter_error for a parameter outside its range or a negative step.
struct temperature_ramp {
  double start = 5;
  std::int64_t first = 6;
  double increment = 0.1, stop = 8;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (step < first) return start;
    const double moved = start + increment * (static_cast<double>(step - first) + 1);
    // Rounding must not cost one step more.
    const double slack = 1e-9 * std::abs(increment);
    return increment > 0 ? (moved >= stop - slack ? stop : moved) : (moved <= stop + slack ? stop : moved);
  }
  value_bounds bounds() const { return {std::min(start, stop), std::max(start, stop)}; }
  bool operator==(const temperature_ramp&) const = default;

  static constexpr const char* name = "temperature_ramp";
  static constexpr auto parameters() {
    using self = temperature_ramp;
    return std::tuple(parameter{"start", &self::start, value_range::positive},
                      parameter{"first", &self::first, value_range::not_negative},
                      parameter{"increment", &self::increment},
                      parameter{"stop", &self::stop, value_range::positive});
  }
  /// What concerns more than one number.
  template <class Report>
  void check_together(Report&& report) const {
    if ((stop > start && !(increment > 0)) || (stop < start && !(increment < 0)))
      report("increment", "of the sign of stop - start", increment);
  }
};

}  // namespace distill::inline DISTILL_ABI
