#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Total variation distance.
///
/// Row value: T_s T_t ½ Σ |p - q|, p = softmax(teacher / T_t), q = softmax(student / T_s).
/// Gradient: T_t q (u - Σ q u), u = ½ sign(q - p), 0 where they are equal; times weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ. Nats.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given;
/// `temperature_squared`: multiply value and gradient by T_student * T_teacher, so that their size does not
/// depend on the temperature. Its gradient falls as 1 / T only, so consider switching it off here.
/// Special values: always finite for finite logits, at most 1 before the factor.
/// Cost: one pass over the inputs and one in cache, two exponentials per element, the gradient written once.
/// Accuracy: `docs/performance.md`. Memory: two float rows per thread and O(rows), from the workspace.
/// Source: Wen et al. 2023, arXiv 2307.15190.
struct total_variation {
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
    return detail::term_of<loss_kind::total_variation>(
               {.name = "total_variation", .temperature_squared = temperature_squared})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const total_variation&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
