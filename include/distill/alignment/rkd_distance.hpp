#pragma once

#include <distill/alignment/relational_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Relational distillation by distances: the student's rows should lie as far from each other as the
/// teacher's.
///
/// Value: the mean over the n (n - 1) ordered pairs i ≠ j of h(d_ij / μ - the same of the teacher), d_ij =
/// ‖x_i - x_j‖, μ the mean of d over the same pairs, h Huber's function with its bend at 1. A pair of a row
/// with itself is no pair, so neither mean counts it: implementations that average over all n² report (n - 1)
/// / n of this value.
/// Gradient: through μ as well: Σ_j 2 w_ij (x_i - x_j) / d_ij, w_ij = (h'_ij / μ - Σ h' d
/// / (μ² n (n - 1))) / (n (n - 1)).
/// Shapes: student [rows, width], teacher [rows, any width], any strides;
/// element types may differ, the gradient has the student's, or float for 16 bits; no_gradient in its place
/// computes the value only. `relational_options` says which rows are in, and who multiplies matrices. All is
/// computed in float, or in double if an input is double.
/// Throws: shape_error, parameter_error, layout_error,
/// before anything is written.
/// Special values: equal or proportional batches give 0 (exactly, if equal).
/// Coincident rows have distance 0 and gradient 0; if all coincide, or there is one row, the normalised
/// distances are 0. NaN in a row that is in gives NaN.
/// Accuracy: value and gradient 2e-5 in float, 1e-11 in double; nearby pairs are computed from their
/// difference, not from products
/// (`tests/alignment/relational_test.cpp`).
/// Cost: two products for the value, one for the gradient, and a few
/// passes over two [rows, rows] matrices.
/// Threads and aliasing: the bits do not depend on the executor, if
/// those of the product do not; the gradient may be exactly the student's or the teacher's elements. Memory,
/// from the workspace: both batches, the matrices named and the gradient's rows.
/// Source: Park et al. 2019,
/// arXiv 1904.05068, section 3.2.1; the paper weighs it 25.
struct rkd_distance {
  /// The value; with a gradient buffer [rows, student width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient,
                    const relational_options& options) const {
    return detail::relational_of(detail::relational_kind::rkd_distance, "rkd_distance",
                                 std::forward<Student>(student), std::forward<Teacher>(teacher),
                                 std::forward<Gradient>(gradient), options);
  }
  bool operator==(const rkd_distance&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
