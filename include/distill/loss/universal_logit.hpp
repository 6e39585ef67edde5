#pragma once

#include <distill/loss/universal_logit_job.hpp>
#include <optional>

namespace distill::inline DISTILL_ABI {

/// Universal logit distillation: the distance of the sorted probabilities, for teachers and students whose
/// classes are not the same, such as two tokenizers' vocabularies.
///
/// Row value: T_s T_t Σ_j |q_(j) - p_(j)|, q_(j) the j-th largest of q = softmax(student / T_s), p_(j) that
/// of p = softmax(teacher / T_t), 0 beyond the shorter row's end. It is the L1 Wasserstein distance between
/// them under a transport cost that is the same for all pairs of classes.
/// Gradient: T_t q (u - Σ q u), u of the class of rank j = sign(q_(j) - p_(j)), 0 where they are equal;
/// times weight / denominator. Equal student logits have their ranks by class, the lower first.
/// Shapes: student and gradient [rows, classes], teacher [rows, any number of classes], less than 2^32
/// classes, any strides; element types may differ, the gradient has the student's, or float for 16 bits.
/// Rows are weighted, masked, reduced and run as `row_options` says; reduction::mean divides by the
/// student's classes.
/// It is no part of an objective, whose losses share the classes: add it with `.accumulate`.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given; `temperature_squared`: multiply value and gradient by T_student *
/// T_teacher; the paper has temperature 1.
/// Special values: equal rows give exactly 0 and a zero gradient, and so does any reordering of the classes;
/// at most 2 before the factor. A logit of -inf is probability 0; NaN, +inf or a row of -inf in a counted
/// row gives NaN.
/// Accuracy: value 1e-6 and gradient 2e-5 in float, 1e-12 in double
/// (`tests/loss/universal_logit_test.cpp`); 1e-5 and 1e-4 in float for nearly equal teacher and student, as
/// the sign at a rank is that of rounded probabilities.
/// Cost: both rows sorted, in time proportional to their length, and one exponential per element; the sorts
/// dominate.
/// Memory, from the workspace: O(rows), and per thread six rows of the longer length and 48 KiB; eight for
/// temperature_slopes.
/// Threads and aliasing: the bits do not depend on the executor; the gradient may be exactly the student's
/// elements, or the teacher's where the shapes are equal.
/// Source: Boizard et al. 2024, arXiv 2402.12030.
struct universal_logit {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;

  /// The value; with a gradient buffer [rows, student classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_universal_logit({.temperature = temperature,
                                             .teacher_temperature = teacher_temperature.value_or(temperature),
                                             .temperature_squared = temperature_squared},
                                            detail::input_of(std::forward<Student>(student)),
                                            detail::input_of(std::forward<Teacher>(teacher)),
                                            detail::output_of(std::forward<Gradient>(gradient)), rows);
  }
  bool operator==(const universal_logit&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
