#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Alpha-beta divergence.
///
/// Row value: -T_s T_t / (αβ) Σ [p^α q^β - α/(α+β) p^(α+β) - β/(α+β) q^(α+β)],
/// p = softmax(teacher / T_t), q = softmax(student / T_s).
/// Gradient: T_t q (u - Σ q u), u = (q^(α+β-1) - p^α q^(β-1)) / α, times weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ. Nats.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given;
/// `temperature_squared`: multiply value and gradient by T_student * T_teacher, so that their size does not
/// depend on the temperature. `alpha`, `beta`: any finite numbers; where α, β or α + β is 0 the value is the
/// limit. (1, 0) is forward_kl, (0, 1) is reverse_kl, (½, ½) is four times the squared Hellinger distance.
/// Special values: equal logits give exactly 0; a probability of 0 gives +inf where its power diverges.
/// Cost: one pass over the inputs and one in cache; three exponentials per element where α + β = 1 and both
/// are positive, else five. The gradient is written once. Accuracy: `docs/performance.md`. Memory: two float
/// rows per thread and O(rows), from the workspace. Source: Cichocki, Cruces, Amari 2011, Entropy 13(1);
/// distillation: Wang et al. 2025, arXiv 2505.04560.
struct alpha_beta {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double alpha = 0.5;
  double beta = 0.5;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::alpha_beta>({.name = "alpha_beta",
                                                   .temperature_squared = temperature_squared,
                                                   .alpha = alpha,
                                                   .beta = beta})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const alpha_beta&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
