#pragma once

#include <distill/teacher/mixing_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The logarithm of the normalised geometric mean of the teachers' probabilities.
///
/// Output: Σ_i w_i log p_i - log Σ_c exp(Σ_i w_i log p_i), p_i = softmax(teacher_i / T), which is the
/// log_softmax of mean_of_logits / T. A class that one teacher rules out has no probability: teachers must
/// agree, where mean_of_probabilities lets each speak. The teacher of a loss with `teacher_temperature = 1`.
/// Shapes, options, throws: as mean_of_probabilities.
/// Special values: -inf where a teacher that counts has -inf; NaN or +inf in such a teacher makes the row
/// NaN, as do a row that is -inf throughout once mixed, and one without weights.
/// Accuracy: as mean_of_probabilities.
/// Cost: a pass over the teachers, two over the output, one exponential per class.
/// Source: Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 1, the geometric mean of an ensemble.
struct mean_of_log_probabilities {
  double temperature = 1;

  template <class Output>
  void operator()(const teacher_list& teachers, Output&& output, const mixing_options& options = {}) const {
    detail::evaluate_mixing(detail::mixing_kind::log_probabilities, teachers,
                            detail::written_to(std::forward<Output>(output)), temperature, options);
  }
  bool operator==(const mean_of_log_probabilities&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
