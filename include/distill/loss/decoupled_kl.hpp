#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Decoupled knowledge distillation: forward KL taken apart into the label against the rest, and the rest
/// among itself.
///
/// Row value: T_s T_t (α KL(b_p || b_q) + β KL(p̂ || q̂)), where b = (p_label, 1 - p_label) and p̂ is p
/// over the other classes, renormalised; p = softmax(teacher / T_t), q = softmax(student / T_s). With α = 1
/// and β = 1 - p_label it would be forward_kl.
/// Gradient: T_t α (q - p) at the label; T_t (β (q̂ - p̂) - α (q_label - p_label) q̂) elsewhere; times
/// weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ; labels
/// [rows]. Nats.
/// Options: `labels` (std::int32_t, std::int64_t or std::uint8_t); `alpha`, `beta` (finite, >= 0);
/// `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given; `temperature_squared`: multiply by T_s T_t; a row whose label is
/// `ignore_index` is not read and not counted.
/// Throws: shape_error, parameter_error, layout_error; data_error naming row and value for a label outside
/// [0, classes); all before anything is written.
/// Special values: equal logits give exactly 0 and a zero gradient; never negative. A single other class
/// has all the rest: with two classes the β part is 0, with one class the loss is. The β part is 0 too
/// where the teacher gives no other class any probability, and a part of weight 0 takes no part. A logit of
/// -inf is probability 0; p > 0 where q = 0 gives +inf; NaN, +inf or a row of -inf in a counted row gives
/// NaN.
/// Accuracy: the rest is summed without the label, never as 1 - p. `tests/loss/decoupled_kl_test.cpp`.
/// Cost: two passes over a row in cache, two exponentials per element. Memory: two float rows per thread
/// and O(rows).
/// Source: Zhao et al. 2022, arXiv 2203.08679.
struct decoupled_kl {
  label_view labels = {};
  double alpha = 1;
  double beta = 8;
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  std::int64_t ignore_index = -100;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::decoupled_kl>({.name = "decoupled_kl",
                                                     .temperature_squared = temperature_squared,
                                                     .alpha = alpha,
                                                     .beta = beta,
                                                     .labels = labels,
                                                     .ignore_index = ignore_index})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const decoupled_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
