#pragma once

#include <distill/alignment/relational_job.hpp>

namespace distill::inline DISTILL_ABI {

/// What a Gram matrix compares with each other.
enum class gram_axis { rows, columns };

/// Squared distance of Gram matrices: which rows (or which features) go together.
///
/// Value: the mean over all entries of (K_s - K_t)². With gram_axis::rows, K = X Xᵀ / width, [rows, rows]:
/// the widths may differ. With gram_axis::columns, K = Xᵀ X / rows, [width, width], the features'
/// selectivities of NST with its squared kernel: equal widths.
/// Gradient: 4 (K_s - K_t) X, or 4 X (K_s - K_t),
/// over entries and width, or rows.
/// Shapes: student [rows, width], teacher [rows, any width], any strides;
/// element types may differ, the gradient has the student's, or float for 16 bits; no_gradient in its place
/// computes the value only. `relational_options` says which rows are in, and who multiplies matrices. All is
/// computed in float, or in double if an input is double.
/// Throws: shape_error, parameter_error, layout_error,
/// before anything is written.
/// Options: `over`.
/// Special values: equal batches give exactly 0 and a zero
/// gradient. NaN in a row that is in gives NaN.
/// Accuracy: value and gradient 2e-5 in float, 1e-11 in double
/// (`tests/alignment/relational_test.cpp`).
/// Cost: two products for the value, one for the gradient, and two
/// passes over two Gram matrices.
/// Threads and aliasing: the bits do not depend on the executor, if those of
/// the product do not; the gradient may be exactly the student's or the teacher's elements. Memory, from the
/// workspace: both batches, the matrices named and the gradient's rows.
/// Source: Huang, Wang 2017, arXiv
/// 1707.01219, section 3.3.
struct gram_mse {
  gram_axis over = gram_axis::rows;

  /// The value; with a gradient buffer [rows, student width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient,
                    const relational_options& options) const {
    return detail::relational_of(
        over == gram_axis::rows ? detail::relational_kind::gram_rows : detail::relational_kind::gram_columns,
        "gram_mse", std::forward<Student>(student), std::forward<Teacher>(teacher),
        std::forward<Gradient>(gradient), options);
  }
  bool operator==(const gram_mse&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
