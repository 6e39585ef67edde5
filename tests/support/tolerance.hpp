// How far from the oracle an answer may be. Values: relative to the value of the batch. Gradients: relative
// to the largest entry of the gradient.
#pragma once

#include <algorithm>
#include <distill/loss/loss_term.hpp>
#include <distill/view/element_type.hpp>

namespace support {

struct tolerance {
  double value;
  double gradient;
  // Beside the relative ones.
  double absolute_value = 0;
  double absolute_gradient = 0;
};

/// Student and teacher independent, float or 16 bits. forward_kl, soft_cross_entropy, cross_entropy and
/// logit_mse set the mark. The others weigh a logarithm or power of a ratio by q and subtract the mean: where
/// a student is sure, the largest gradient entry is small beside the terms that cancel in it, so their
/// gradient has fewer digits.
inline tolerance independent_tolerance(const distill::loss_term& term) {
  using distill::loss_kind;
  switch (term.kind) {
    case loss_kind::reverse_kl:
      return {5e-7, 2e-5};
    case loss_kind::jensen_shannon:
      return {term.beta < 0.2 || term.beta > 0.8 ? 5e-6 : 1e-6, 2e-5};
    case loss_kind::skewed_forward_kl:
      return {1e-6, 2e-5};
    case loss_kind::skewed_reverse_kl:
      return {1e-6, 2e-5};
    case loss_kind::total_variation:
      return {5e-7, 2e-5};
    case loss_kind::alpha_beta:
      return {1e-6, 2e-5};
    case loss_kind::user_divergence:
      return {1e-5, 5e-5};  // squares a ratio of p and q
    // Sums exponentials of which the largest is 1, and subtracts 1 from the label's probability: where the
    // student is sure of the label, value and gradient are near 0 and have the absolute error of float.
    case loss_kind::cross_entropy:
      return {5e-7, 1.5e-6, 1.2e-7, 1.2e-7};
    case loss_kind::adaptive_kl:
      return {1e-6, 2e-5};
    // Two classes in the same order have a value and a gradient of nearly 0 that only epsilon keeps from being 0.
    case loss_kind::standardized_kl:
      return {1e-6, 2e-6, 1e-12, 1e-6};
    case loss_kind::decoupled_kl:
    case loss_kind::taid_kl:
    case loss_kind::corrected_kl:
      return {1e-6, 2e-6};
    case loss_kind::forward_kl:
      return {term.temperature == term.teacher_temperature ? 5e-7 : 1e-6, 1e-6};
    default:
      return {5e-7, 1e-6};
  }
}

/// The student is the teacher plus a little. Small shares of a mixture cost digits in proportion.
inline tolerance near_equal_tolerance(const distill::loss_term& term) {
  if (term.kind == distill::loss_kind::jensen_shannon && term.beta < 0.2) return {5e-5, 5e-6};
  if (term.kind == distill::loss_kind::user_divergence) return {1e-5, 1e-5};
  if (term.kind == distill::loss_kind::cross_entropy) return {1e-5, 5e-6, 1.2e-7, 1.2e-7};
  return {1e-5, 5e-6};
}

/// The loosest of the losses of an objective.
inline tolerance looser(const tolerance& a, const tolerance& b) {
  return {std::max(a.value, b.value), std::max(a.gradient, b.gradient),
          std::max(a.absolute_value, b.absolute_value), std::max(a.absolute_gradient, b.absolute_gradient)};
}

/// In double.
inline tolerance double_tolerance(const distill::loss_term& term) {
  // With two classes there is next to nothing left, as above.
  if (term.kind == distill::loss_kind::standardized_kl) return {1e-12, 1e-12, 1e-15, 1e-15};
  return {1e-12, 1e-12};
}

/// Half a unit in the last place of what the gradient is stored in; nothing more for double.
inline double rounding_of(distill::element_type type) {
  switch (type) {
    case distill::element_type::bfloat16:
      return 0x1p-8;
    case distill::element_type::float16:
      return 0x1p-11;
    default:
      return 0;
  }
}

}  // namespace support
