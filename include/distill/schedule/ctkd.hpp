#pragma once

#include <cmath>
#include <cstdint>
#include <distill/schedule/cosine_schedule.hpp>

namespace distill::inline DISTILL_ABI {

/// What ctkd remembers between steps. Plain numbers: save them, and training goes on as if it had not
/// stopped.
struct ctkd_state {
  double parameter = 1;  // θ
  std::int64_t epoch = 0;
  bool operator==(const ctkd_state&) const = default;

  static constexpr const char* name = "ctkd_state";
  static constexpr auto parameters() {
    using self = ctkd_state;
    return std::tuple(distill::parameter{"parameter", &self::parameter},
                      distill::parameter{"epoch", &self::epoch, value_range::not_negative});
  }
};

/// Curriculum temperature: one temperature for all rows, learned against the student, more so with every
/// epoch.
///
/// Temperature: lowest + span σ(θ).
/// λ(epoch) falls from 0 to `strength` by a half cosine over `epochs`, and stays.
/// Update: θ <- θ - learning_rate λ dLoss/dT span σ(θ) (1 - σ(θ)). λ is negative: the temperature climbs
/// the loss that the student descends. A positive λ would drive it to where the loss is least, which is its
/// maximum.
/// Boundaries: λ is exactly 0 in epoch 0 and exactly `strength` from epoch `epochs` on.
/// Options: `lowest` (> 0); `span` (> 0); `strength` (finite, <= 0); `epochs` (>= 1).
/// Throws: parameter_error for a parameter outside its range, a negative epoch, a slope or rate that is not
/// finite.
/// Source: Li et al. 2023, arXiv 2211.16231, section 3.2, the global temperature.
struct ctkd {
  double lowest = 1, span = 20, strength = -1;
  std::int64_t epochs = 10;

  double temperature(const ctkd_state& state) const {
    detail::require_valid(*this, state.epoch);
    return lowest + span * sigmoid(state.parameter);
  }

  /// λ, what dLoss/dT is multiplied by.
  double lambda(std::int64_t epoch) const {
    detail::require_valid(*this, epoch);
    return cosine_schedule{.from = 0, .to = strength, .steps = epochs}(epoch);
  }

  /// The state after a step with this slope dLoss/dT. The caller counts `epoch` up.
  ctkd_state advance(ctkd_state state, double loss_slope, double learning_rate) const {
    if (!std::isfinite(loss_slope)) detail::throw_out_of_range(name, "loss_slope", "finite", loss_slope);
    if (!detail::is_within(learning_rate, value_range::not_negative))
      detail::throw_out_of_range(name, "learning_rate", ">= 0 and finite", learning_rate);
    const double s = sigmoid(state.parameter);
    state.parameter -= learning_rate * lambda(state.epoch) * loss_slope * span * s * (1 - s);
    return state;
  }
  bool operator==(const ctkd&) const = default;

  static constexpr const char* name = "ctkd";
  static constexpr auto parameters() {
    return std::tuple(parameter{"lowest", &ctkd::lowest, value_range::positive},
                      parameter{"span", &ctkd::span, value_range::positive},
                      parameter{"strength", &ctkd::strength},
                      parameter{"epochs", &ctkd::epochs, value_range::at_least_one});
  }
  /// What concerns more than one number, or a range of its own.
  template <class Report>
  void check_together(Report&& report) const {
    if (!(strength <= 0)) report("strength", "<= 0", strength);
  }

 private:
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
};

}  // namespace distill::inline DISTILL_ABI
