#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Squared distance of the logits themselves: no softmax, no temperature.
///
/// Row value: Σ (student - teacher)². With reduction::mean this is the usual mean squared error.
/// Gradient: 2 (student - teacher), times weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Special values: those of IEEE arithmetic: equal infinities give NaN.
/// Cost: one pass, no exponential.
/// Source: Ba, Caruana 2014, arXiv 1312.6184, section 2.
struct logit_mse {
  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::logit_mse>({.name = "logit_mse", .temperature_squared = false});
  }
  bool operator==(const logit_mse&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
