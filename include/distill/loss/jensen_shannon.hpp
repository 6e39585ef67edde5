#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Generalised Jensen-Shannon divergence.
///
/// Row value: T_s T_t (β KL(p || m) + (1 - β) KL(q || m)), m = β p + (1 - β) q,
/// p = softmax(teacher / T_t), q = softmax(student / T_s).
/// Gradient: T_t (1 - β) q (a - Σ q a), a = log(q / m), times weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ. Nats.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given;
/// `temperature_squared`: multiply value and gradient by T_student * T_teacher, so that their size does not
/// depend on the temperature. `beta` (0 < β < 1): the teacher's share of the mixture. Value / β tends to
/// forward_kl as β → 0, value / (1 - β) to reverse_kl as β → 1; the limits themselves are 0 and are rejected.
/// Special values: finite for any finite logits and for -inf masks; equal logits give exactly 0.
/// Cost: one pass over the inputs and one in cache, two exponentials and a logarithm per element, the
/// gradient written once. Accuracy: `docs/performance.md`. Memory: two float rows per thread and O(rows),
/// from the workspace. Source: Agarwal et al. 2023, arXiv 2306.13649, section 2.
struct jensen_shannon {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double beta = 0.5;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::jensen_shannon>(
               {.name = "jensen_shannon", .temperature_squared = temperature_squared, .beta = beta})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const jensen_shannon&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
