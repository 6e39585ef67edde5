#pragma once

#include <algorithm>
#include <cmath>

#include "support/guarded_matrix.hpp"
#include "support/larger_error.hpp"
#include "support/loss_cases.hpp"
#include "support/oracle.hpp"
#include "support/tolerance.hpp"

namespace support {

/// Relative to the oracle's value, and to its largest gradient entry.
struct deviation {
  double value = 0;
  double gradient = 0;
  double absolute_value = 0;
  double absolute_gradient = 0;

  bool value_within(const tolerance& allowed) const {
    return value <= allowed.value || absolute_value <= allowed.absolute_value;
  }
  bool gradient_within(const tolerance& allowed, distill::element_type type) const {
    return gradient <= allowed.gradient + rounding_of(type) || absolute_gradient <= allowed.absolute_gradient;
  }
};

// The oracle's own rounding of what is exactly 0.
inline constexpr long double oracle_zero = 1e-17L;

inline double relative(long double got, long double expected) {
  if (std::abs(expected) < oracle_zero) expected = 0;
  if (got == expected) return 0;
  return static_cast<double>(std::abs(got - expected) / std::abs(expected));
}

inline double relative(const oracle::matrix& got, const oracle::matrix& expected) {
  long double largest = 0, worst = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    largest = std::max(largest, std::abs(expected.values[i]));
    const long double error = std::abs(got.values[i] - expected.values[i]);
    worst = larger_error(worst, error);
  }
  if (largest < oracle_zero) return worst < oracle_zero ? 0 : static_cast<double>(worst / oracle_zero);
  return worst == 0 ? 0 : static_cast<double>(worst / largest);
}

inline double absolute(const oracle::matrix& got, const oracle::matrix& expected) {
  long double worst = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const long double error = std::abs(got.values[i] - expected.values[i]);
    worst = larger_error(worst, error);
  }
  return static_cast<double>(worst);
}

/// Evaluates a case with a gradient and says how far both are from the oracle.
template <class Gradient, class Student, class Teacher>
deviation deviation_of(const loss_case& loss, const guarded_matrix<Student>& student,
                       const guarded_matrix<Teacher>& teacher, guarded_matrix<Gradient>& gradient,
                       const distill::row_options& rows = {}, const oracle::rows& how = {}) {
  const double value = loss(student.view(), teacher.view(), gradient.view(), rows);
  const oracle::answer expected = oracle::evaluate(loss.formulas, student.exact(), teacher.exact(), how);
  return {relative(value, expected.value), relative(gradient.exact(), expected.gradient),
          std::abs(value - static_cast<double>(expected.value)),
          absolute(gradient.exact(), expected.gradient)};
}

}  // namespace support
