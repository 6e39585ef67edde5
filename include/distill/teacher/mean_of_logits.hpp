#pragma once

#include <distill/teacher/mixing_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The weighted mean of the teachers' logits, as they are: Σ_i w_i z_i.
///
/// The loss chooses the temperature, and at any temperature its teacher is the normalised geometric mean of
/// the teachers' distributions at that temperature: the same as mean_of_log_probabilities gives. A teacher
/// whose logits are spread more widely counts for more than its weight says.
/// Shapes, throws: as mean_of_probabilities.
/// Special values: each class by itself as IEEE arithmetic has it: -inf where any teacher that counts has
/// -inf, NaN where one has NaN or two have opposite infinities. A row without weights is NaN.
/// Accuracy: error below 6e-7 (1 + max |z|) in float, 4e-15 (1 + max |z|) in double
/// (`tests/teacher/mixing_oracle_test.cpp`).
/// Cost: one pass over the teachers, no exponentials.
/// Source: the multi-teacher distiller of TextBrewer (Yang et al. 2020, arXiv 2002.12620).
struct mean_of_logits {
  template <class Output>
  void operator()(const teacher_list& teachers, Output&& output, const mixing_options& options = {}) const {
    detail::evaluate_mixing(detail::mixing_kind::logits, teachers,
                            detail::written_to(std::forward<Output>(output)), 1, options);
  }
  bool operator==(const mean_of_logits&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
