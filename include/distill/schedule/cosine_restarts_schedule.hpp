#pragma once

#include <distill/schedule/cosine_schedule.hpp>

namespace distill::inline DISTILL_ABI {

/// Cosine annealing with warm restarts.
///
/// Cycle i (0-based) is steps * multiplier^i long.
/// Value in a cycle of length T, t steps after its start: to + (from - to) decay^i (1 + cos(π t / T)) / 2.
/// Boundaries: exactly `from` at step 0; a cycle's first step has its peak; `to` itself is never reached,
/// because the next cycle begins at the step that would reach it.
/// Options: `from`, `to` (finite); `steps` (>= 1), the first cycle's; `multiplier` (>= 1); `decay` (in (0,
/// 1]).
/// Throws: parameter_error for a parameter outside its range or a negative step.
/// Source: Loshchilov, Hutter 2017, arXiv 1608.03983, equation 5; T_0 and T_mult there.
struct cosine_restarts_schedule {
  double from = 1, to = 0;
  std::int64_t steps = 1, multiplier = 1;
  double decay = 1;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    std::int64_t cycle = 0, length = steps;
    if (multiplier == 1) {
      cycle = step / steps;
      step %= steps;
    }
    for (; step >= length; ++cycle) {
      step -= length;
      if (length > step / multiplier) {  // the last cycle there is; its length may be beyond the integers
        ++cycle;
        return in_cycle(cycle, static_cast<double>(step),
                        static_cast<double>(length) * static_cast<double>(multiplier));
      }
      length *= multiplier;
    }
    return in_cycle(cycle, static_cast<double>(step), static_cast<double>(length));
  }
  value_bounds bounds() const { return {std::min(from, to), std::max(from, to)}; }
  bool operator==(const cosine_restarts_schedule&) const = default;

  static constexpr const char* name = "cosine_restarts_schedule";
  static constexpr auto parameters() {
    using self = cosine_restarts_schedule;
    return std::tuple(parameter{"from", &self::from, value_range::any, true},
                      parameter{"to", &self::to, value_range::any, true},
                      parameter{"steps", &self::steps, value_range::at_least_one, true},
                      parameter{"multiplier", &self::multiplier, value_range::at_least_one},
                      parameter{"decay", &self::decay, value_range::above_zero_to_one});
  }

 private:
  double in_cycle(std::int64_t cycle, double done, double length) const {
    const double peak = cycle == 0 ? from : std::lerp(to, from, std::pow(decay, static_cast<double>(cycle)));
    return detail::half_cosine(peak, to, done, length);
  }
};

}  // namespace distill::inline DISTILL_ABI
