// The definition of the correlation of a batch, in long double, and central differences of it.
#pragma once

#include <cmath>
#include <vector>

#include "support/oracle.hpp"

namespace correlation_tests {

using real = long double;

/// A correlation as the oracle sees it: a temperature and a weight for each row.
struct batch_correlation {
  std::vector<real> temperatures = {}, teacher_temperatures = {}, weights = {};
  bool temperature_squared = true;
  real beta = 1, gamma = 1;
};

/// 1 - Pearson's correlation of n weighted numbers, `step` apart.
inline real distance(const real* a, const real* b, const real* weights, std::size_t n, std::size_t step) {
  const auto weight = [&](std::size_t i) { return weights == nullptr ? real{1} : weights[i]; };
  real total = 0, mean_a = 0, mean_b = 0;
  for (std::size_t i = 0; i < n; ++i) total += weight(i);
  for (std::size_t i = 0; i < n; ++i) {
    mean_a += weight(i) * a[i * step] / total;
    mean_b += weight(i) * b[i * step] / total;
  }
  real aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const real x = a[i * step] - mean_a, y = b[i * step] - mean_b;
    aa += weight(i) * x * x, bb += weight(i) * y * y, ab += weight(i) * x * y;
  }
  if (aa < 1e-34L && bb < 1e-34L) return 0;
  return aa < 1e-34L || bb < 1e-34L ? 1 : 1 - ab / std::sqrt(aa * bb);
}

inline oracle::matrix probabilities(const oracle::matrix& logits, const batch_correlation& loss,
                                    const std::vector<real>& temperatures) {
  oracle::matrix result(logits.rows, logits.classes);
  for (std::size_t row = 0; row < logits.rows; ++row) {
    if (loss.weights[row] == 0) continue;  // whatever it holds
    const std::vector<real> p = oracle::softmax(&logits.at(row, 0), logits.classes, temperatures[row]);
    for (std::size_t c = 0; c < logits.classes; ++c) result.at(row, c) = p[c];
  }
  return result;
}

/// Of each row, weight included; the value is their sum over the denominator.
inline std::vector<real> expected_rows(const batch_correlation& loss, const oracle::matrix& student,
                                       const oracle::matrix& teacher) {
  const oracle::matrix q = probabilities(student, loss, loss.temperatures),
                       p = probabilities(teacher, loss, loss.teacher_temperatures);
  real by_classes = 0;
  for (std::size_t c = 0; c < q.classes; ++c)
    by_classes += distance(&q.at(0, c), &p.at(0, c), loss.weights.data(), q.rows, q.classes) / q.classes;
  std::vector<real> values(q.rows);
  for (std::size_t row = 0; row < q.rows; ++row) {
    if (loss.weights[row] == 0) continue;
    const real of_row = distance(&q.at(row, 0), &p.at(row, 0), nullptr, q.classes, 1);
    const real scale = loss.temperature_squared ? loss.temperatures[row] * loss.teacher_temperatures[row] : 1;
    values[row] = loss.weights[row] * scale * (loss.beta * of_row + loss.gamma * by_classes);
  }
  return values;
}

inline real expected_sum(const batch_correlation& loss, const oracle::matrix& student,
                         const oracle::matrix& teacher) {
  real sum = 0;
  for (const real value : expected_rows(loss, student, teacher)) sum += value;
  return sum;
}

/// Central differences of fourth order of the sum, by a number that it depends on.
template <class F>
real difference_of(real& x, real step, F value) {
  const real kept = x;
  const auto at = [&](real offset) {
    x = kept + offset;
    const real result = value();
    x = kept;
    return result;
  };
  return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
}

inline oracle::matrix expected_gradient(const batch_correlation& loss, oracle::matrix student,
                                        const oracle::matrix& teacher, real denominator) {
  oracle::matrix gradient(student.rows, student.classes);
  for (std::size_t i = 0; i < student.values.size(); ++i) {
    const std::size_t row = i / student.classes;
    if (loss.weights[row] == 0) continue;
    gradient.values[i] = difference_of(student.values[i], 1e-4L * loss.temperatures[row],
                                       [&] { return expected_sum(loss, student, teacher); }) /
                         denominator;
  }
  return gradient;
}

/// By the temperatures of each row, student's and teacher's moving together.
inline std::vector<real> expected_slopes(batch_correlation loss, const oracle::matrix& student,
                                         const oracle::matrix& teacher, real denominator) {
  std::vector<real> slopes(student.rows);
  for (std::size_t row = 0; row < student.rows; ++row) {
    if (loss.weights[row] == 0) continue;
    real offset = 0;
    const real at_student = loss.temperatures[row], at_teacher = loss.teacher_temperatures[row];
    slopes[row] = difference_of(offset, 1e-4L,
                                [&] {
                                  loss.temperatures[row] = at_student + offset;
                                  loss.teacher_temperatures[row] = at_teacher + offset;
                                  return expected_sum(loss, student, teacher);
                                }) /
                  denominator;
    loss.temperatures[row] = at_student;
    loss.teacher_temperatures[row] = at_teacher;
  }
  return slopes;
}

}  // namespace correlation_tests
