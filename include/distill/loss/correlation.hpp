#pragma once

#include <distill/loss/correlation_job.hpp>
#include <optional>

namespace distill::inline DISTILL_ABI {

/// One minus the correlation of student and teacher: within each row over the classes, and within each class
/// over the rows of the batch. It asks for the teacher's ranking and proportions, not for its probabilities.
///
/// Row value: T_s T_t (beta (1 - r(q_b, p_b)) + gamma mean over classes (1 - r(q_c, p_c))), p =
/// softmax(teacher / T_t), q = softmax(student / T_s), q_b a row of them, q_c a column, r Pearson's
/// correlation: within a class the rows' own, each row with its weight. The classes' part is the same for
/// every row but for T_s T_t.
/// Gradient: T_t q (u - Σ q u), u the sum of both parts' -(b / |b| - r a / |a|) / |a| with a, b the centred
/// q, p, times weight / denominator; the classes' part over the classes, and times the sum of weight T_s T_t
/// over all rows instead of the row's own T_s T_t.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ, the
/// gradient has the student's, or float for 16 bits; no_gradient in its place computes the value only.
/// It couples the rows, so it is no part of an objective: call it beside one and add to its gradient with
/// `.accumulate`. Rows are weighted, masked, reduced and run as `row_options` says; a row of weight 0 is in
/// neither part. Unless gamma is 0, weights must be >= 0, as there is no correlation under negative ones,
/// and reduction::none is refused, as no row has a gradient of its own.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given; `temperature_squared`: multiply value and gradient by T_student *
/// T_teacher; `beta`, `gamma` (finite): the weights of the rows' and of the classes' part; a part of weight 0
/// is not computed.
/// Special values: equal logits give exactly 0 and a zero gradient. A row or class whose probabilities are
/// all equal has no correlation: it counts as 1, or as 0 if the teacher's are all equal too, with gradient
/// 0; so one row has no classes' part, and one class no rows' part. Equal means within 1e-100. A logit of
/// -inf is probability 0; NaN, +inf or a row of -inf in a row that counts gives NaN for the value and for the
/// whole gradient. No row counts: value 0.
/// Accuracy: value 2e-6 and gradient 2e-5 in float, 1e-11 in double (`tests/loss/correlation_test.cpp`);
/// where all probabilities of a row or class are nearly equal, digits are lost in proportion to how near.
/// Cost: three passes over the inputs, two exponentials per element in each; two passes for the value, one
/// if gamma is 0; one more for temperature_slopes.
/// Memory, from the workspace: O(rows + classes), and three rows per thread.
/// Threads and aliasing: the bits do not depend on the executor; the gradient may be exactly the student's
/// or the teacher's elements.
/// Source: Huang et al. 2022 (DIST), arXiv 2205.10536.
struct correlation {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double beta = 1;
  double gamma = 1;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_correlation({.temperature = temperature,
                                         .teacher_temperature = teacher_temperature.value_or(temperature),
                                         .temperature_squared = temperature_squared,
                                         .beta = beta,
                                         .gamma = gamma},
                                        detail::input_of(std::forward<Student>(student)),
                                        detail::input_of(std::forward<Teacher>(teacher)),
                                        detail::output_of(std::forward<Gradient>(gradient)), rows);
  }
  bool operator==(const correlation&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
