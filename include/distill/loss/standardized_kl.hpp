#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Forward KL of standardised logits: the student need not match the teacher's mean and spread, only its
/// shape.
///
/// Row value: T_s T_t Σ p log(p / q), p = softmax(v / T_t), q = softmax(y / T_s), where y = (student -
/// mean) / (σ + ε) and v likewise from the teacher; σ is the standard deviation over the classes of the
/// row, with n - 1.
/// Gradient: T_t / (σ + ε) ((q - p) - (student - mean) Σ (q - p) (student - mean) / ((n - 1) σ (σ + ε))),
/// times weight / denominator: it goes through mean and deviation.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ. Nats.
/// Options: `temperature` (finite, > 0; one, or one per row) of the student, and of the teacher unless
/// `teacher_temperature` is given; `temperature_squared`: multiply by T_s T_t; `epsilon` ε (finite, > 0).
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Special values: equal logits give exactly 0 and a zero gradient; never negative. A row of equal logits
/// is the uniform distribution; as a student's row it has the gradient T_t (q - p) / ε, which is the
/// derivative and is large. One class gives 0. With two classes every row is (1, -1) / √2 or its mirror
/// image, and the gradient is 0 but for ε. A logit of -inf is probability 0 and takes no part in mean,
/// deviation and n; p > 0 where q = 0 gives +inf; NaN, +inf or a row of -inf in a counted row gives NaN.
/// Accuracy: `tests/loss/standardized_kl_test.cpp`.
/// Cost: forward KL's two passes over a row in cache, and three short ones over each for the moments.
/// Memory: two float rows per thread and O(rows), from the workspace.
/// Source: Sun et al. 2024, arXiv 2403.01427.
struct standardized_kl {
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;
  double epsilon = 1e-7;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::standardized_kl>(
               {.name = "standardized_kl", .temperature_squared = temperature_squared, .alpha = epsilon})
        .with_temperatures(temperature, teacher_temperature);
  }
  bool operator==(const standardized_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
