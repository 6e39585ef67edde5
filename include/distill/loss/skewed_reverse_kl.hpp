#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Skewed reverse Kullback-Leibler divergence: the teacher is mixed with the student before comparing.
///
/// Row value: T_s T_t KL(q || m), m = (1 - α) p + α q, p = softmax(teacher / T_t), q = softmax(student /
/// T_s). Gradient: T_t q (u - Σ q u), u = log(q / m) - α q / m, times weight / denominator. Shapes: student,
/// teacher and gradient [rows, classes], any strides; element types may differ. Nats. Throws: shape_error,
/// parameter_error, layout_error, before anything is written. Options: `temperature` (finite, > 0; one, or
/// one per row) of the student, and of the teacher unless `teacher_temperature` is given;
/// `temperature_squared`: multiply value and gradient by T_student * T_teacher, so that their size does not
/// depend on the temperature. `alpha` (0 <= α < 1): the student's share of the mixture; 0 is reverse_kl.
/// Special values: for α > 0 finite wherever the teacher is 0; equal logits give exactly 0.
/// Cost: one pass over the inputs and one in cache, two exponentials and a logarithm per element, the
/// gradient written once. Accuracy: `docs/performance.md`. Memory: two float rows per thread and O(rows),
/// from the workspace. Source: Ko et al. 2024, arXiv 2402.03898, section 3.
struct skewed_reverse_kl {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double alpha = 0.1;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::skewed_reverse_kl>(
               {.name = "skewed_reverse_kl", .temperature_squared = temperature_squared, .alpha = alpha})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const skewed_reverse_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
