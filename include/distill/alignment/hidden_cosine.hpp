#pragma once

#include <distill/alignment/hidden_states_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Directions of hidden states: 1 - cos of the angle between student and teacher; their lengths are free.
///
/// Row value: 1 - cos = ‖s - t‖² / 2, s = student / ‖student‖, t = teacher / ‖teacher‖. Gradient:
/// ((s - t) - (1 - cos) s) / ‖student‖, times weight / denominator. The default, batch_mean, is the mean over
/// counted rows; reduction::mean is refused, because a row has one value.
/// Shapes: student, teacher and gradient [rows, width], any strides; element types may differ, the gradient
/// has the student's, or float for 16 bits. Another width for the teacher needs an adapter first. Rows are
/// weighted, masked, reduced and run as `row_options` says.
/// Throws: shape_error, parameter_error,
/// layout_error, before anything is written.
/// Special values: equal rows give exactly 0 and a zero gradient. A
/// row of zeros has no direction: value 1 against any other row and 0 against another row of zeros, gradient
/// 0. NaN or infinity in a counted row gives NaN.
/// Accuracy: value and gradient below 1e-6 in float, 1e-14 in double; for rows that differ by 1e-3, 1e-6 and
/// 3e-5
/// (`tests/alignment/hidden_states_oracle_test.cpp`). Any finite length: where squares leave float's range,
/// the row is computed in double.
/// Cost: a row is read once from memory, and once or twice more from the cache.
/// Threads and aliasing: the bits do not depend on the executor; the gradient may be exactly the student's or
/// the teacher's elements, and not overlap them otherwise.
/// Memory: O(rows) from the workspace, and a row of
/// the compute type per thread and matrix that is not contiguous or of 16 bits.
/// Source: Sanh et al. 2019
/// (DistilBERT), arXiv 1910.01108, section 3.
struct hidden_cosine {
  /// The value; with a gradient buffer [rows, width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::hidden_states_of({.kind = detail::hidden_kind::cosine, .name = "hidden_cosine"},
                                    std::forward<Student>(student), std::forward<Teacher>(teacher),
                                    std::forward<Gradient>(gradient), rows);
  }
  bool operator==(const hidden_cosine&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
