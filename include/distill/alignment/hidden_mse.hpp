#pragma once

#include <distill/alignment/hidden_states_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Squared distance of hidden states: what the student computes inside should be what the teacher does.
///
/// Row value: Σ (student - teacher)². With reduction::mean it is the usual mean squared error; the default,
/// batch_mean, sums over the width.
/// Gradient: 2 (student - teacher), times weight / denominator.
/// Shapes: student, teacher and gradient [rows, width], any strides; element types may differ, the gradient
/// has the student's, or float for 16 bits. Another width for the teacher needs an adapter first. Rows are
/// weighted, masked, reduced and run as `row_options` says.
/// Throws: shape_error, parameter_error,
/// layout_error, before anything is written.
/// Special values: equal rows give exactly 0. Otherwise those of
/// IEEE arithmetic; a value beyond float is computed in double.
/// Accuracy: below 1e-6 in float, of the value and of the largest entry of the gradient, 1e-14 in double
/// (`tests/alignment/hidden_states_oracle_test.cpp`).
/// Cost: one pass, at the speed of memory.
/// Threads and aliasing: the bits do not depend on the executor; the gradient may be exactly the student's or
/// the teacher's elements, and not overlap them otherwise.
/// Memory: O(rows) from the workspace, and a row of
/// the compute type per thread and matrix that is not contiguous or of 16 bits.
/// Source: Jiao et al. 2020
/// (TinyBERT), arXiv 1909.10351, section 3.1.
struct hidden_mse {
  /// The value; with a gradient buffer [rows, width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::hidden_states_of({.kind = detail::hidden_kind::mse, .name = "hidden_mse"},
                                    std::forward<Student>(student), std::forward<Teacher>(teacher),
                                    std::forward<Gradient>(gradient), rows);
  }
  bool operator==(const hidden_mse&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
