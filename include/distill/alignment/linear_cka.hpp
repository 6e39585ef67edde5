#pragma once

#include <distill/alignment/relational_job.hpp>

namespace distill::inline DISTILL_ABI {

/// 1 - CKA: one minus the linear centred kernel alignment of the two batches, which no rotation, shift or
/// common scale of either changes.
///
/// Value: 1 - ⟨K, L⟩ / (‖K‖ ‖L‖), K = X Xᵀ, L = Y Yᵀ of the rows minus their mean, ⟨⟩ the sum of products of
/// entries.
/// Gradient: 2 dK X, dK = ((1 - value) K / ‖K‖ - L / ‖L‖) / ‖K‖.
/// Shapes: student [rows, width],
/// teacher [rows, any width], any strides; element types may differ, the gradient has the student's, or float
/// for 16 bits; no_gradient in its place computes the value only. `relational_options` says which rows are
/// in, and who multiplies matrices. All is computed in float, or in double if an input is double. Throws:
/// shape_error, parameter_error, layout_error, before anything is written.
/// Special values: equal batches give
/// exactly 0 and a zero gradient. If all rows of one batch are equal, its K is 0: value 1, or 0 if the
/// other's is 0 too; gradient 0. NaN in a row that is in gives NaN.
/// Accuracy: value and gradient 2e-5 in float, 1e-11 in double (`tests/alignment/relational_test.cpp`).
/// Cost: two products for the value, one for
/// the gradient, and four passes over two [rows, rows] matrices.
/// Threads and aliasing: the bits do not depend
/// on the executor, if those of the product do not; the gradient may be exactly the student's or the
/// teacher's elements. Memory, from the workspace: both batches, the matrices named and the gradient's rows.
/// Source: Kornblith et al. 2019, arXiv 1905.00414, section 3.
struct linear_cka {
  /// The value; with a gradient buffer [rows, student width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient,
                    const relational_options& options) const {
    return detail::relational_of(detail::relational_kind::linear_cka, "linear_cka",
                                 std::forward<Student>(student), std::forward<Teacher>(teacher),
                                 std::forward<Gradient>(gradient), options);
  }
  bool operator==(const linear_cka&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
