#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Adaptive KL: forward and reverse KL, weighted by where the student still differs from the teacher.
///
/// Row value: T_s T_t (w Σ p log(p / q) + (1 - w) Σ q log(q / p)), p = softmax(teacher / T_t), q =
/// softmax(student / T_s), w = Σ_head |p - q| / Σ |p - q|. The head is the fewest of the teacher's most
/// probable classes that together have at least the probability `head_mass`; of equally probable classes
/// the first.
/// Gradient: w held constant: T_t (w (q - p) + (1 - w) q (log(q / p) - Σ q log(q / p))), times weight /
/// denominator. The slope by the temperature holds w constant too: it jumps where the head does.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ. Nats.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given; `temperature_squared`: multiply by T_s T_t; `head_mass` (in (0, 1)).
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Special values: equal logits give exactly 0 and a zero gradient; never negative. A logit of -inf is
/// probability 0; p > 0 where q = 0 gives +inf unless w is 0, and q > 0 where p = 0 unless w is 1; NaN,
/// +inf or a row of -inf in a counted row gives NaN.
/// Accuracy: `tests/loss/adaptive_kl_test.cpp`.
/// Cost: three passes over a row in cache, two exponentials per element, a selection without a sort.
/// Memory: four float rows per thread and O(rows), from the workspace.
/// Source: Wu et al. 2024, arXiv 2404.02657.
struct adaptive_kl {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double head_mass = 0.5;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::adaptive_kl>(
               {.name = "adaptive_kl", .temperature_squared = temperature_squared, .alpha = head_mass})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const adaptive_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
