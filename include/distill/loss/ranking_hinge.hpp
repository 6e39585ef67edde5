#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Hinge loss on the teacher's ranking: a class that the teacher ranks above another should have a larger
/// logit by a margin. Nothing but the order of the teacher's logits enters.
///
/// Row value: the mean over pairs (i, j), teacher_i > teacher_j, of max(0, margin - (student_i - student_j)
/// / T).
/// Gradient: 1 / (T pairs) times, for a pair within the margin, -1 at i and +1 at j; times weight /
/// denominator.
/// Shapes: student, teacher and gradient [rows, classes], any strides; element types may differ.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `temperature` (finite, > 0; one, or one per row), of the student's logits; `margin` (finite, >=
/// 0); `classes`: the pairs are those of the teacher's largest so many logits, the lower class first among
/// equals; 0 or more than there are: of all. Special values: classes the teacher does not tell apart form no
/// pair; a row without pairs has value and gradient 0. A student logit of -inf above a finite one gives +inf;
/// two of them in a pair, two of +inf, or NaN anywhere in a counted row give NaN. Teacher logits of ±inf are
/// as its largest and smallest finite numbers. Accuracy: value 1e-6, gradient 2e-6 in float, 1e-12 in double
/// (`tests/loss/ranking_test.cpp`). Cost: one pass to select the classes, then one operation for each of up
/// to classes (classes - 1) / 2 pairs, a vector at a time: quadratic, so give `classes` where there are many.
/// Memory: eight rows per thread and O(rows), from the workspace.
/// Source: Herbrich, Graepel, Obermayer 2000, Large margin rank boundaries; on a teacher's largest classes:
/// Reddi et al. 2021 (RankDistil), PMLR 130.
struct ranking_hinge {
  row_temperature temperature = 1;
  double margin = 1;
  std::size_t classes = 0;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    return detail::term_of<loss_kind::ranking_hinge>(
               {.name = "ranking_hinge", .temperature_squared = false, .margin = margin, .largest = classes})
        .with_temperatures(temperature);
  }
  bool operator==(const ranking_hinge&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
