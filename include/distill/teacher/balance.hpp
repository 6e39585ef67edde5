#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <distill/schedule/parameter.hpp>
#include <span>
#include <string>
#include <utility>

namespace distill::inline DISTILL_ABI {

/// The coefficient that gives a loss term a fixed share of another's value: share * reference / term.
///
/// It is a constant of the step: no gradient passes through it. The term's value becomes that of the
/// reference times `share`, its gradient keeps its direction.
/// Options: `share` (finite, > 0); `most` (finite, > 0), the largest coefficient.
/// Special values: a term of 0 gives `most`, or `share` if the reference is 0 too; a reference of 0 gives 0.
/// Throws: parameter_error for a parameter outside its range, a value that is negative or not finite.
/// Source: the loss balancer of NVIDIA Model Optimizer, `modelopt.torch.distill`: distillation losses scaled
/// to the student's own.
struct value_balance {
  double share = 1;
  double most = 1e3;

  double operator()(double reference, double term) const;
  bool operator==(const value_balance&) const = default;
};

/// What gradient_balance remembers between steps. Plain numbers: save them, and training goes on as if it had
/// not stopped.
struct gradient_balance_state {
  static constexpr std::size_t capacity = 8;

  std::size_t terms = 0;
  std::array<double, capacity> norms = {};         // moving averages, all short by the same factor at first
  std::array<double, capacity> first_losses = {};  // of the first step
  std::array<double, capacity> progress = {};      // loss / first loss, of the last step
  bool operator==(const gradient_balance_state&) const = default;

  static constexpr const char* name = "gradient_balance_state";
  static constexpr auto parameters() {
    using self = gradient_balance_state;
    return std::tuple(parameter{"terms", &self::terms}, parameter{"norms", &self::norms},
                      parameter{"first_losses", &self::first_losses}, parameter{"progress", &self::progress});
  }
  /// What concerns more than one number: at most `capacity` terms; entries >= 0 and finite.
  template <class Report>
  void check_together(Report&& report) const {
    if (terms > capacity) report("terms", "<= 8", static_cast<double>(terms));
    for (const auto& [what, entries] : {std::pair{"norms", &norms}, std::pair{"first_losses", &first_losses},
                                        std::pair{"progress", &progress}})
      for (std::size_t i = 0; i < capacity; ++i)
        if (const double entry = (*entries)[i]; !(std::isfinite(entry) && entry >= 0))
          report(std::string(what) + "[" + std::to_string(i) + "]", ">= 0 and finite", entry);
  }
};

/// Coefficients that give the gradients of several loss terms the same length, or lengths by how far each has
/// come.
///
/// c_i = mean(g) r_i^alpha / g_i, at most `most`. g_i: the moving average of the length of term i's gradient,
/// which the caller measures (gradient_norm, of the gradient with coefficient 1). r_i = (l_i / l_i(0)) /
/// mean_j(l_j / l_j(0)): a term that has fallen less than the others gets more. With alpha 0 the lengths are
/// equal and their sum stays. Coefficients are constants of the step: no gradient passes through them.
/// Options: `momentum` in [0, 1) of the averages, 0 for the last step alone; `alpha` (finite, >= 0), which
/// needs the losses where it is not 0; `most` (finite, > 0).
/// Special values: a step with a length or loss that is not finite, or a first loss of 0, leaves the state as
/// it was. A term whose average is 0 has `most`; if all are 0, or there was no step, every coefficient is 1.
/// Throws: parameter_error (a parameter outside its range, a negative length or loss, a state with an entry
/// that is negative or not finite), shape_error (no term, more than 8, or another number than before).
/// Source: Chen et al. 2018, GradNorm, arXiv 1711.02257, section 3.2: its targets, met at once instead of by
/// a gradient step on the coefficients.
struct gradient_balance {
  double momentum = 0.9;
  double alpha = 0;
  double most = 1e3;

  /// The state after a step with these lengths, and losses.
  gradient_balance_state advance(gradient_balance_state state, std::span<const double> norms,
                                 std::span<const double> losses = {}) const;
  /// One coefficient for each term, written.
  void coefficients(const gradient_balance_state& state, std::span<double> written) const;
  bool operator==(const gradient_balance&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/balance-inl.hpp>
#endif
