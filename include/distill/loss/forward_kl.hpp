#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Forward Kullback-Leibler divergence, the distillation loss of Hinton et al.
///
/// Row value: T_s T_t Σ p log(p / q), p = softmax(teacher / T_t), q = softmax(student / T_s).
/// Gradient: T_t (q - p), times weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ. Nats.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given;
/// `temperature_squared`: multiply value and gradient by T_student * T_teacher, so that their size does not
/// depend on the temperature.
/// Special values: equal logits give exactly 0 and a zero gradient; never negative. A logit of -inf is
/// probability 0; p > 0 where q = 0 gives +inf; NaN, +inf or a row of -inf in a counted row gives NaN.
/// Cost: one pass over the inputs, two exponentials per element, the gradient written once.
/// Accuracy: `docs/performance.md`. Memory: two float rows per thread and O(rows), from the workspace.
/// Source: Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 2.
struct forward_kl {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::forward_kl>(
               {.name = "forward_kl", .temperature_squared = temperature_squared})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const forward_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
