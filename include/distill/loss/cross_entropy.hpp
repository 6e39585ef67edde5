#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Cross-entropy with hard labels.
///
/// Row value: -Σ y log q, q = softmax(student / T), y = (1 - ε) onehot(label) + ε / classes.
/// Gradient: (q - y) / T, times weight / denominator.
/// Shapes: student and gradient [rows, classes], any strides; labels [rows]. Nats. The teacher is not read
/// and may be `no_teacher`. Options: `labels` (std::int32_t, std::int64_t or std::uint8_t); `temperature`
/// (finite, > 0; one, or one per row), without any T²; `label_smoothing` ε in [0, 1]; a row whose label is
/// `ignore_index` is not read and not counted. Throws: shape_error, parameter_error, layout_error; data_error
/// naming row and value for a label outside [0, classes); all before anything is written. Special values: a
/// label whose logit is -inf gives +inf; with label smoothing so does any -inf logit; NaN, +inf or a row of
/// -inf in a counted row gives NaN. Cost: two passes over a row in cache, one exponential per element.
/// Memory: two float rows per thread and O(rows), from the workspace.
/// Source: label smoothing: Szegedy et al. 2015, arXiv 1512.00567, section 7.
struct cross_entropy {
  label_view labels = {};
  row_temperature temperature = 1;
  double label_smoothing = 0;
  std::int64_t ignore_index = -100;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher = no_teacher_t, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher = {}, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::cross_entropy>({.name = "cross_entropy",
                                                      .temperature_squared = false,
                                                      .labels = labels,
                                                      .ignore_index = ignore_index,
                                                      .label_smoothing = label_smoothing})
        .with_temperatures(temperature, std::nullopt);
  }
  bool operator==(const cross_entropy&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
