#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Forward KL to a target between student and teacher: what the schedule `taid` gives its interpolation to.
///
/// Row value: T_s T_t Σ m log(m / q), q = softmax(student / T_s), m = softmax((1 - t) student / T_s + t
/// teacher / T_t).
/// Gradient: the target m held constant: T_t (q - m), times weight / denominator. The slope by the
/// temperature is the derivative of the value: the target moves with both temperatures. Shapes: student,
/// teacher and gradient [rows, classes], any strides; element types may differ. Nats. Options:
/// `interpolation` t (in [0, 1]); `temperature` (finite, > 0; one, or one per row) of the student, and of the
/// teacher unless `teacher_temperature` is given; `temperature_squared`: multiply by T_s T_t. Throws:
/// shape_error, parameter_error, layout_error, before anything is written. Special values: t = 1 is
/// forward_kl, to the last bit; t = 0 is exactly 0 with a zero gradient, whatever the teacher. Equal logits
/// give exactly 0 if the temperatures are equal; never negative. A class that either masks by a logit of -inf
/// has no probability in the target, unless t is 0 or 1; NaN, +inf or a row without a class that both give a
/// probability, in a counted row, gives NaN. Accuracy: `tests/loss/taid_kl_test.cpp`. Cost: three passes over
/// a row in cache, two exponentials per element. Memory: two float rows per thread and O(rows), from the
/// workspace. Source: Shing et al. 2025, arXiv 2501.16937.
struct taid_kl {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double interpolation = 1;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    const loss_term plain{
        .name = "taid_kl", .temperature_squared = temperature_squared, .alpha = interpolation};
    return (interpolation == 1 ? detail::term_of<loss_kind::forward_kl>(plain)
                               : detail::term_of<loss_kind::taid_kl>(plain))
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const taid_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
