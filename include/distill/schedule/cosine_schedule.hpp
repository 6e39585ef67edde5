#pragma once

#include <algorithm>
#include <cmath>
#include <distill/schedule/parameter.hpp>
#include <numbers>

namespace distill::inline DISTILL_ABI {

namespace detail {

/// to + (from - to) (1 + cos(π done / whole)) / 2 for 0 <= done <= whole, exact at both ends and accurate
/// near them.
inline double half_cosine(double from, double to, double done, double whole) {
  const bool is_early = done * 2 <= whole;
  const double part = (is_early ? done : whole - done) / whole;
  const double sine = std::sin(std::numbers::pi / 2 * part);
  return is_early ? std::lerp(from, to, sine * sine) : std::lerp(to, from, sine * sine);
}

}  // namespace detail

/// Cosine annealing: a half cosine from one value to another.
///
/// Value at step s: to + (from - to) (1 + cos(π min(s, steps) / steps)) / 2.
/// Boundaries: exactly `from` at step 0; exactly `to` at step `steps` (T_max) and, unless `oscillates`,
/// after it.
/// Options: `from`, `to` (finite), `to` being the floor when annealing downwards; `steps` (>= 1);
/// `oscillates`: go back to `from` by step 2 `steps` and on with that period, as PyTorch's
/// CosineAnnealingLR does.
/// Throws: parameter_error for a parameter outside its range or a negative step.
/// Source: Loshchilov, Hutter 2017, arXiv 1608.03983, equation 5, without restarts.
struct cosine_schedule {
  double from = 1, to = 0;
  std::int64_t steps = 1;
  bool oscillates = false;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (oscillates && (step / steps) % 2 == 1)
      step = steps - step % steps;
    else if (oscillates)
      step %= steps;
    return detail::half_cosine(from, to, static_cast<double>(std::min(step, steps)),
                               static_cast<double>(steps));
  }
  value_bounds bounds() const { return {std::min(from, to), std::max(from, to)}; }
  bool operator==(const cosine_schedule&) const = default;

  static constexpr const char* name = "cosine_schedule";
  static constexpr auto parameters() {
    return std::tuple(parameter{"from", &cosine_schedule::from, value_range::any, true},
                      parameter{"to", &cosine_schedule::to, value_range::any, true},
                      parameter{"steps", &cosine_schedule::steps, value_range::at_least_one, true},
                      parameter{"oscillates", &cosine_schedule::oscillates});
  }
};

}  // namespace distill::inline DISTILL_ABI
