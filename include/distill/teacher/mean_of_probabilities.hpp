#pragma once

#include <distill/teacher/mixing_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The logarithm of the weighted arithmetic mean of the teachers' probabilities: what an ensemble predicts.
///
/// Output: log Σ_i w_i p_i, p_i = softmax(teacher_i / T), as logsumexp_i(log w_i + log p_i). It is the
/// teacher of any loss with `teacher_temperature = 1`: the temperature has been applied, and cannot be
/// changed afterwards.
/// Shapes: teachers and output [rows, classes], any strides and element types; weights as mixing_options
/// says. The output may be exactly one of the teachers.
/// Options: `temperature` (finite, > 0).
/// Throws: shape_error, parameter_error (a weight that is negative or not finite), layout_error, data_error
/// (a chosen teacher that is not there), before anything is written.
/// Special values: -inf where no teacher that counts has any probability. NaN or +inf in a row of a teacher
/// that counts, or -inf throughout, makes the row NaN; so does a row without weights. One teacher gives its
/// log_softmax; the order of the teachers does not matter beyond rounding.
/// Accuracy: absolute error below 1.5e-7 (4 + |log p| + 2 max |z| / T) in float, 16 bits rounded at the end;
/// 1e-15 instead of 1.5e-7 in double, which is used if any of them is double
/// (`tests/teacher/mixing_oracle_test.cpp`).
/// Cost: each teacher three passes and two exponentials per class, one logarithm per class. The bits do not
/// depend on the executor.
/// Source: You, Xu, Xu, Tao 2017, Learning from multiple teacher networks, KDD, the mean of softened outputs.
struct mean_of_probabilities {
  double temperature = 1;

  template <class Output>
  void operator()(const teacher_list& teachers, Output&& output, const mixing_options& options = {}) const {
    detail::evaluate_mixing(detail::mixing_kind::probabilities, teachers,
                            detail::written_to(std::forward<Output>(output)), temperature, options);
  }
  bool operator==(const mean_of_probabilities&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
