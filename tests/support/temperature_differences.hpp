// How a loss changes with its temperatures, from its values.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/guarded_matrix.hpp"
#include "support/loss_cases.hpp"
#include "support/random_logits.hpp"

namespace support {

/// The loss with the temperatures of teacher and student moved by the same amount.
inline loss_case moved(const loss_case& loss, double offset) {
  loss_case result = loss;
  for (distill::loss_term& term : result.terms) {
    if (!term.moves_with_temperature()) continue;
    term.temperature += offset;
    term.teacher_temperature += offset;
  }
  return result;
}

/// Central differences of fourth order of a vector of values.
template <class F>
std::vector<double> differences(F values) {
  constexpr double step = 1e-4;
  const auto a = values(-2 * step), b = values(-step), c = values(step), d = values(2 * step);
  std::vector<double> result(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) result[i] = (8 * (c[i] - b[i]) - (d[i] - a[i])) / (12 * step);
  return result;
}

template <class T>
struct slope_logits {
  guarded_matrix<T> student, teacher;
  slope_logits(const logit_pair& logits, layout how)
      : student(logits.rows, logits.student, how), teacher(logits.rows, logits.teacher, how) {}

  std::vector<double> slopes(const loss_case& loss, distill::row_options rows = {}) const {
    std::vector<double> result(student.view().rows(), 77);
    rows.temperature_slopes = result;
    (void)loss(student.view(), teacher.view(), {}, rows);
    return result;
  }
  std::vector<double> row_values(const loss_case& loss, distill::row_options rows = {}) const {
    std::vector<double> result(student.view().rows());
    rows.row_values = result;
    (void)loss(student.view(), teacher.view(), {}, rows);
    return result;
  }
};

/// The same numbers in another formula.
template <distill::loss_kind kind>
loss_case in_formula(loss_case loss) {
  loss.terms[0] = distill::detail::term_of<kind>(loss.terms[0]);
  return loss;
}

/// The row values at moved temperatures. adaptive_kl's weight stays what it was: w, from w F + (1 - w) R.
inline std::vector<double> moved_values(const slope_logits<double>& of, const loss_case& loss, double offset,
                                        const distill::row_options& rows) {
  const loss_case there = moved(loss, offset);
  if (!loss.is(distill::loss_kind::adaptive_kl)) return of.row_values(there, rows);
  const auto forward_kl = [&](const loss_case& x) {
    return of.row_values(in_formula<distill::loss_kind::forward_kl>(x), rows);
  };
  const auto reverse_kl = [&](const loss_case& x) {
    return of.row_values(in_formula<distill::loss_kind::reverse_kl>(x), rows);
  };
  const auto value = of.row_values(loss, rows), forward = forward_kl(loss), reverse = reverse_kl(loss);
  const auto moved_forward = forward_kl(there), moved_reverse = reverse_kl(there);
  std::vector<double> result(value.size());
  for (std::size_t row = 0; row < value.size(); ++row) {
    if (value[row] == 0) continue;
    const double weight = (value[row] - reverse[row]) / (forward[row] - reverse[row]);
    result[row] = weight * moved_forward[row] + (1 - weight) * moved_reverse[row];
  }
  return result;
}

inline double largest_of(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

}  // namespace support
