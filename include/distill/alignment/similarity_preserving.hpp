#pragma once

#include <distill/alignment/relational_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Similarity preserving distillation: rows that are similar for the teacher should be similar for the
/// student.
///
/// Value: ‖Ĝ_s - Ĝ_t‖² / rows², G = X Xᵀ, Ĝ its rows divided by their lengths; the division by rows² is the
/// paper's.
/// Gradient: (dG + dGᵀ) X, dG through the lengths of the rows.
/// Shapes: student [rows, width],
/// teacher [rows, any width], any strides; element types may differ, the gradient has the student's, or float
/// for 16 bits; no_gradient in its place computes the value only. `relational_options` says which rows are
/// in, and who multiplies matrices. All is computed in float, or in double if an input is double. Throws:
/// shape_error, parameter_error, layout_error, before anything is written.
/// Special values: equal batches give
/// exactly 0. A row of zeros in G stays zeros. NaN in a row that is in gives NaN.
/// Accuracy: value and
/// gradient 2e-5 in float, 1e-11 in double (`tests/alignment/relational_test.cpp`).
/// Cost: two products for
/// the value, one for the gradient, and four passes over two [rows, rows] matrices.
/// Threads and aliasing: the
/// bits do not depend on the executor, if those of the product do not; the gradient may be exactly the
/// student's or the teacher's elements. Memory, from the workspace: both batches, the matrices named and the
/// gradient's rows.
/// Source: Tung, Mori 2019, arXiv 1907.09682, section 3.1.
struct similarity_preserving {
  /// The value; with a gradient buffer [rows, student width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient,
                    const relational_options& options) const {
    return detail::relational_of(detail::relational_kind::similarity_preserving, "similarity_preserving",
                                 std::forward<Student>(student), std::forward<Teacher>(teacher),
                                 std::forward<Gradient>(gradient), options);
  }
  bool operator==(const similarity_preserving&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
