#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI {

/// What taid remembers between steps. Plain numbers: save them, and training goes on as if it had not
/// stopped.
struct taid_state {
  double interpolation = 0.4;  // t, the teacher's share
  double momentum = 0;         // m, of the relative change of the loss
  double previous_loss = 0;
  bool has_previous_loss = false;
  bool operator==(const taid_state&) const = default;

  static constexpr const char* name = "taid_state";
  static constexpr auto parameters() {
    using self = taid_state;
    return std::tuple(parameter{"interpolation", &self::interpolation, value_range::zero_to_one},
                      parameter{"momentum", &self::momentum},
                      parameter{"previous_loss", &self::previous_loss},
                      parameter{"has_previous_loss", &self::has_previous_loss});
  }
};

/// Temporally adaptive interpolated distillation: how far the target has moved from the student to the
/// teacher.
///
/// The target of step n is softmax((1 - t) student + t teacher), the student's logits held constant. After
/// each step, with loss l: r = (l_previous - l) / l_previous; m <- momentum m + (1 - momentum) r;
/// t <- min(stop, max(start + (stop - start) step / steps, t + rate σ(m) (1 - t))).
/// Boundaries: t is `start` until the second loss is known; never falls; at most `stop`; is `stop` from
/// step `steps` on.
/// Options: `start`, `stop` (in [0, 1], start <= stop); `rate` (in [0, 1]), α in the paper; `momentum` (in
/// [0, 1]), β there; `steps` (>= 1), the whole training.
/// Special values: a loss that is not finite, or a previous one of 0, leaves the momentum as it was; t
/// rises all the same.
/// Throws: parameter_error for a parameter outside its range or a negative step.
/// Source: Shing et al. 2025, arXiv 2501.16937, algorithm 1.
struct taid {
  double start = 0.4, stop = 1, rate = 5e-4, momentum = 0.99;
  std::int64_t steps = 1;

  taid_state initial() const {
    detail::require_valid(*this, 0);
    return {.interpolation = start};
  }

  /// The state after the step (0-based) that gave this loss.
  taid_state advance(taid_state state, double loss, std::int64_t step) const {
    detail::require_valid(*this, step);
    if (!std::isfinite(loss)) return raised(state, step);
    if (!state.has_previous_loss) {
      state.previous_loss = loss;
      state.has_previous_loss = true;
      return state;
    }
    const double change = (state.previous_loss - loss) / state.previous_loss;
    if (std::isfinite(change)) state.momentum = momentum * state.momentum + (1 - momentum) * change;
    state.previous_loss = loss;
    return raised(state, step);
  }
  bool operator==(const taid&) const = default;

  static constexpr const char* name = "taid";
  static constexpr auto parameters() {
    return std::tuple(parameter{"start", &taid::start, value_range::zero_to_one},
                      parameter{"stop", &taid::stop, value_range::zero_to_one},
                      parameter{"rate", &taid::rate, value_range::zero_to_one},
                      parameter{"momentum", &taid::momentum, value_range::zero_to_one},
                      parameter{"steps", &taid::steps, value_range::at_least_one});
  }
  /// What concerns more than one number.
  template <class Report>
  void check_together(Report&& report) const {
    if (!(start <= stop)) report("stop", ">= start", stop);
  }

 private:
  taid_state raised(taid_state state, std::int64_t step) const {
    const double line =
        step >= steps ? stop : std::lerp(start, stop, static_cast<double>(step) / static_cast<double>(steps));
    const double step_size = rate * (1 - state.interpolation) / (1 + std::exp(-state.momentum));
    state.interpolation = std::min(stop, std::max(line, state.interpolation + step_size));
    return state;
  }
};

}  // namespace distill::inline DISTILL_ABI
