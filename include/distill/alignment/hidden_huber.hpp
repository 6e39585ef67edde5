#pragma once

#include <distill/alignment/hidden_states_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Huber's distance of hidden states: squared where they are near, and a slope that large outliers cannot
/// exceed.
///
/// Row value: Σ h(student - teacher), h(d) = d² / 2 for |d| <= delta, delta (|d| - delta / 2) beyond;
/// reduction::mean also divides by the width.
/// Gradient: the difference cut to [-delta, delta], times weight /
/// denominator.
/// Shapes: student, teacher and gradient [rows, width], any strides; element types may differ,
/// the gradient has the student's, or float for 16 bits. Another width for the teacher needs an adapter
/// first. Rows are weighted, masked, reduced and run as `row_options` says.
/// Options: `delta` (finite, > 0),
/// where the square turns into a line.
/// Throws: shape_error, parameter_error, layout_error, before anything is
/// written.
/// Special values: equal rows give exactly 0. Otherwise those of IEEE arithmetic; a value beyond
/// float is computed in double.
/// Accuracy: below 1e-6 in float, of the value and of the largest entry of the gradient, 1e-14 in double
/// (`tests/alignment/hidden_states_oracle_test.cpp`).
/// Cost: one pass, at the speed of memory.
/// Threads and aliasing: the bits do not depend on the executor; the gradient may be exactly the student's or
/// the teacher's elements, and not overlap them otherwise.
/// Memory: O(rows) from the workspace, and a row of
/// the compute type per thread and matrix that is not contiguous or of 16 bits.
/// Source: Huber 1964, Annals of
/// Mathematical Statistics 35, page 73.
struct hidden_huber {
  double delta = 1;

  /// The value; with a gradient buffer [rows, width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::hidden_states_of(
        {.kind = detail::hidden_kind::huber, .name = "hidden_huber", .delta = delta},
        std::forward<Student>(student), std::forward<Teacher>(teacher), std::forward<Gradient>(gradient),
        rows);
  }
  bool operator==(const hidden_huber&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
