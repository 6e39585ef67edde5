#pragma once

#include <distill/teacher/mixing_job.hpp>

namespace distill::inline DISTILL_ABI {

/// KL(p_i || Σ_j w_j p_j) of each teacher i: how far it is from what all of them say together.
///
/// Shapes: teachers [rows, classes]; divergences [rows, teachers], any strides and element type. Nats, >= 0;
/// at most log(1 / w_i). Weighted by w they sum to the Jensen-Shannon divergence of the teachers, which is
/// also by how much Σ w_i KL(p_i || q) exceeds KL(Σ w_i p_i || q) for every q.
/// Options, throws: as mean_of_probabilities; the divergences may not overlap a teacher.
/// Special values: 0 for a teacher of weight 0; a row with a teacher that counts and has no distribution is
/// NaN for all that count.
/// Accuracy: relative error below 2e-5 or an absolute 1e-9 in float (`tests/teacher/mixing_oracle_test.cpp`).
/// Cost: as mean_of_probabilities and another pass with two exponentials per class and teacher, a scratch
/// row.
struct divergences_from_mean {
  double temperature = 1;

  template <class Output>
  void operator()(const teacher_list& teachers, Output&& divergences,
                  const mixing_options& options = {}) const {
    detail::evaluate_mixing(detail::mixing_kind::divergences, teachers,
                            detail::written_to(std::forward<Output>(divergences)), temperature, options);
  }
  bool operator==(const divergences_from_mean&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
