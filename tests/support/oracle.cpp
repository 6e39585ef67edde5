#include "support/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/oracle_row.hpp"

namespace oracle {

using real = long double;

std::vector<real> log_softmax(const real* logits, std::size_t classes, real temperature) {
  real maximum = -std::numeric_limits<real>::infinity();
  for (std::size_t i = 0; i < classes; ++i) maximum = std::max(maximum, logits[i]);
  std::vector<real> result(classes);
  real sum = 0;
  for (std::size_t i = 0; i < classes; ++i) {
    result[i] = (logits[i] - maximum) / temperature;
    sum += std::exp(result[i]);
  }
  const real log_sum = std::log(sum);
  for (real& x : result) x -= log_sum;
  return result;
}

namespace {

constexpr real infinity = std::numeric_limits<real>::infinity();

// a log(a / b) with the conventions of probability theory, given the logarithms.
real relative_entropy(real log_a, real log_b) {
  const real a = std::exp(log_a);
  return a == 0 ? 0 : a * (log_a - log_b);
}

real log_of_mixture(real share, real log_a, real log_b) {
  if (share == 0) return log_b;
  if (share == 1) return log_a;
  const real x = std::log(share) + log_a, y = std::log(1 - share) + log_b;
  const real larger = std::max(x, y), smaller = std::min(x, y);
  return larger == -infinity ? -infinity : larger + std::log1p(std::exp(smaller - larger));
}

struct pointwise {
  real value;
  real slope;  // times q
};

pointwise alpha_beta(const loss& l, real log_p, real log_q) {
  const real a = l.alpha, b = l.beta, s = a + b;
  const real ratio = log_p - log_q;
  const auto power = [&](real x, real y) {
    return std::exp((x == 0 ? 0 : x * log_p) + (y == 0 ? 0 : y * log_q));
  };
  if (a == 0 && b == 0) return {ratio * ratio / 2, -ratio};
  if (a == 0) return {(-b * power(0, b) * ratio - power(0, b) + power(b, 0)) / (b * b), -power(0, b) * ratio};
  const real slope = (power(0, s) - power(a, b)) / a;
  if (b == 0) return {(a * power(a, 0) * ratio - power(a, 0) + power(0, a)) / (a * a), slope};
  if (s == 0) return {(-a * ratio + power(a, -a) - 1) / (a * a), slope};
  return {-(power(a, b) - a / s * power(s, 0) - b / s * power(0, s)) / (a * b), slope};
}

pointwise of(const loss& l, real log_p, real log_q) {
  const real p = std::exp(log_p), q = std::exp(log_q);
  if (p == 0 && q == 0) return {0, 0};
  switch (l.kind) {
    case formula::forward_kl:
      return {relative_entropy(log_p, log_q), -p};
    case formula::soft_cross_entropy:
      return {p == 0 ? 0 : -p * log_q, -p};
    case formula::reverse_kl: {
      const real value = relative_entropy(log_q, log_p);
      return {value, value + q};
    }
    case formula::jensen_shannon: {
      const real log_m = log_of_mixture(l.beta, log_p, log_q);
      const real student = (1 - l.beta) * relative_entropy(log_q, log_m);
      return {l.beta * relative_entropy(log_p, log_m) + student, student};
    }
    case formula::skewed_forward_kl: {
      const real log_m = log_of_mixture(l.alpha, log_p, log_q);
      const real slope = -(1 - l.alpha) * p * std::exp(log_q - log_m);
      return {relative_entropy(log_p, log_m), slope};
    }
    case formula::skewed_reverse_kl: {
      const real log_m = log_of_mixture(1 - l.alpha, log_p, log_q);
      const real value = relative_entropy(log_q, log_m);
      return {value, q == 0 ? 0 : value + q - l.alpha * q * std::exp(log_q - log_m)};
    }
    case formula::total_variation:
      return {std::abs(p - q) / 2, q > p ? q / 2 : q < p ? -q / 2 : 0};
    case formula::alpha_beta:
      return alpha_beta(l, log_p, log_q);
    case formula::pearson_chi2:
      return {(q - p) * (q - p) / p, 2 * (q - p) / p * q};
    default:
      return {0, 0};
  }
}

row_answer divergence_row(const loss& l, const real* student, const real* teacher, std::size_t classes) {
  const auto log_q = log_softmax(student, classes, l.student_temperature);
  const auto log_p = log_softmax(teacher, classes, l.teacher_temperature);
  const real scale = l.temperature_squared ? l.student_temperature * l.teacher_temperature : 1;
  row_answer result{0, std::vector<real>(classes)};
  real mean_slope = 0;
  for (std::size_t i = 0; i < classes; ++i) {
    const pointwise f = of(l, log_p[i], log_q[i]);
    result.value += f.value;
    result.gradient[i] = f.slope;
    mean_slope += f.slope;
  }
  for (std::size_t i = 0; i < classes; ++i)
    result.gradient[i] =
        scale / l.student_temperature * (result.gradient[i] - std::exp(log_q[i]) * mean_slope);
  result.value *= scale;
  return result;
}

row_answer cross_entropy_row(const loss& l, const real* student, std::size_t classes, std::size_t label) {
  const auto log_q = log_softmax(student, classes, l.student_temperature);
  row_answer result{0, std::vector<real>(classes)};
  for (std::size_t i = 0; i < classes; ++i) {
    const real target =
        (i == label ? 1 - l.label_smoothing : 0) + l.label_smoothing / static_cast<real>(classes);
    if (target != 0) result.value -= target * log_q[i];
    result.gradient[i] = (std::exp(log_q[i]) - target) / l.student_temperature;
  }
  return result;
}

row_answer logit_mse_row(const real* student, const real* teacher, std::size_t classes) {
  row_answer result{0, std::vector<real>(classes)};
  for (std::size_t i = 0; i < classes; ++i) {
    const real difference = student[i] - teacher[i];
    result.value += difference * difference;
    result.gradient[i] = 2 * difference;
  }
  return result;
}

row_answer row_of(const loss& l, const matrix& student, const matrix& teacher, std::size_t row) {
  const real* z = &student.at(row, 0);
  if (l.kind == formula::cross_entropy)
    return cross_entropy_row(l, z, student.classes, static_cast<std::size_t>(l.labels[row]));
  const real* t = &teacher.at(row, 0);
  if (l.kind == formula::logit_mse) return logit_mse_row(z, t, student.classes);
  if (transforms_rows(l.kind))
    return transformed_row(l, z, t, student.classes, l.labels.empty() ? 0 : static_cast<std::size_t>(l.labels[row]));
  return divergence_row(l, z, t, student.classes);
}

}  // namespace

std::vector<real> softmax(const real* logits, std::size_t classes, real temperature) {
  auto result = log_softmax(logits, classes, temperature);
  for (real& x : result) x = std::exp(x);
  return result;
}

answer evaluate(const std::vector<loss>& losses, const matrix& student, const matrix& teacher,
                const rows& how) {
  answer total;
  total.gradient = matrix(student.rows, student.classes);
  total.row_values.assign(student.rows, 0);
  const auto weight = [&](std::size_t row) { return how.weights.empty() ? 1 : how.weights[row]; };
  for (const loss& l : losses) {
    const auto counts = [&](std::size_t row) {
      return weight(row) != 0 && (l.labels.empty() || l.labels[row] != l.ignore_index);
    };
    std::size_t counted = 0;
    for (std::size_t row = 0; row < student.rows; ++row) counted += counts(row) ? 1 : 0;
    if (counted == 0) continue;
    real denominator = 1;
    if (how.divided_by == divisor::counted_rows) denominator = static_cast<real>(counted);
    if (how.divided_by == divisor::counted_elements)
      denominator = static_cast<real>(counted * student.classes);
    if (how.denominator) denominator = *how.denominator;
    for (std::size_t row = 0; row < student.rows; ++row) {
      if (!counts(row)) continue;
      const row_answer one = row_of(l, student, teacher, row);
      const real factor = l.coefficient * weight(row);
      total.row_values[row] += factor * one.value;
      total.value += factor / denominator * one.value;
      for (std::size_t i = 0; i < student.classes; ++i)
        total.gradient.at(row, i) += factor / denominator * one.gradient[i];
    }
  }
  return total;
}

}  // namespace oracle
