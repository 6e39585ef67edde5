#pragma once

#include <distill/alignment/relational_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Relational distillation by angles: the triangles between the student's rows should have the teacher's
/// angles.
///
/// Value: the mean over the n (n - 1) (n - 2) ordered triplets of distinct rows of h(cos_ijk - the same of
/// the teacher), cos_ijk = ⟨e_ij, e_kj⟩, e_ij = (x_i - x_j) / ‖x_i - x_j‖, h Huber's function with its bend
/// at 1. Implementations that average over all n³ report (n - 1) (n - 2) / n² of this value.
/// Gradient: exact,
/// through every length.
/// Shapes: student [rows, width], teacher [rows, any width], any strides; element types
/// may differ, the gradient has the student's, or float for 16 bits; no_gradient in its place computes the
/// value only. `relational_options` says which rows are in, and who multiplies matrices. All is computed in
/// float, or in double if an input is double.
/// Throws: shape_error, parameter_error, layout_error, before
/// anything is written.
/// Special values: equal batches give exactly 0. Where two rows of a triplet coincide,
/// its cosine is 0 and has no gradient; fewer than three rows give 0. NaN in a row that is in gives NaN.
/// Accuracy: value and gradient 2e-5 in float for rows in general position, 1e-11 in double
/// (`tests/alignment/relational_test.cpp`).
/// Cost: two products for the value, one for the gradient; rows³
/// cosines from five [rows, rows] matrices.
/// Threads and aliasing: the bits do not depend on the executor, if
/// those of the product do not; the gradient may be exactly the student's or the teacher's elements. Memory,
/// from the workspace: both batches, the matrices named and the gradient's rows.
/// Source: Park et al. 2019,
/// arXiv 1904.05068, section 3.2.2; the paper weighs it 50.
struct rkd_angle {
  /// The value; with a gradient buffer [rows, student width] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient,
                    const relational_options& options) const {
    return detail::relational_of(detail::relational_kind::rkd_angle, "rkd_angle",
                                 std::forward<Student>(student), std::forward<Teacher>(teacher),
                                 std::forward<Gradient>(gradient), options);
  }
  bool operator==(const rkd_angle&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
