#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Logistic loss on the teacher's ranking: the cross-entropy of telling, for two classes, which one the
/// teacher ranks above the other. Nothing but the order of the teacher's logits enters.
///
/// Row value: the mean over pairs (i, j), teacher_i > teacher_j, of log(1 + exp(-(student_i - student_j) /
/// T)).
/// Gradient: 1 / (T pairs) times, for each pair, -s at i and +s at j, s = 1 / (1 + exp((student_i -
/// student_j) / T)); times weight / denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row), of the student's logits; `classes`: the pairs
/// are those of the teacher's largest so many logits, the lower class first among equals; 0 or more than
/// there are: of all.
/// Special values: as ranking_hinge.
/// Accuracy: value 1e-6, gradient 2e-6 in float, 1e-12 in double (`tests/loss/ranking_test.cpp`).
/// Cost: one pass to select the classes, then an exponential and a logarithm for each of up to classes
/// (classes - 1) / 2 pairs: quadratic, so give `classes` where there are many.
/// Memory: eight rows per thread and O(rows), from the workspace.
/// Source: Burges et al. 2005 (RankNet), Learning to rank using gradient descent; on a teacher's largest
/// classes: Reddi et al. 2021 (RankDistil), PMLR 130.
struct ranking_logistic {
  row_temperature temperature = 1;
  std::size_t classes = 0;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::ranking_logistic>(
               {.name = "ranking_logistic", .temperature_squared = false, .largest = classes})
        .with_temperatures(temperature);
  }
  bool operator==(const ranking_logistic&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
