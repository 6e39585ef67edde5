#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Forward KL to a teacher corrected toward the label: minifinetuning's idea, with a rule of our own where
/// the label is the most probable class.
///
/// Row value: T_s T_t Σ c log(c / q), q = softmax(student / T_s), c = (1 - λ) p + λ onehot(label), p =
/// softmax(teacher / T_t). With w the largest p of another class, λ = (w - p_label + τ) / (1 + w -
/// p_label), so that c_label exceeds every other c by τ; λ = 0 where p_label does already.
/// Gradient: T_t (q - c), times weight / denominator. By the temperature, λ moves with p.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ; labels
/// [rows]. Nats.
/// Options: `labels` (std::int32_t, std::int64_t or std::uint8_t); `threshold` τ (in [0, 1)); `temperature`
/// (finite, > 0; one, or one per row) of the student, and of the teacher unless `teacher_temperature` is
/// given; `temperature_squared`: multiply by T_s T_t; a row whose label is `ignore_index` is not read and not
/// counted.
/// Throws: shape_error, parameter_error, layout_error; data_error naming row and value for a label outside
/// [0, classes); all before anything is written.
/// Special values: a teacher's -inf at the label is lifted like any other; elsewhere a logit of -inf is
/// probability 0; c > 0 where q = 0 gives +inf; one class gives 0; NaN, +inf or a row of -inf in a counted
/// row gives NaN.
/// Accuracy: `tests/loss/corrected_kl_test.cpp`.
/// Cost: three passes over a row in cache, three exponentials per element. Memory: two float rows per
/// thread and O(rows), from the workspace.
/// Source: Belcak et al. 2025, arXiv 2506.15702; what differs: docs/losses/corrected_kl.md.
struct corrected_kl {
  label_view labels = {};
  double threshold = 0.2;
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
    return detail::term_of<loss_kind::corrected_kl>({.name = "corrected_kl",
                                                     .temperature_squared = temperature_squared,
                                                     .alpha = threshold,
                                                     .labels = labels,
                                                     .ignore_index = ignore_index})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const corrected_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
