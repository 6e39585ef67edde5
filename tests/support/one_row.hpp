// One row at a time, in any element type, beside the oracle's answer.
#pragma once

#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/row_options.hpp>
#include <distill/view/matrix_view.hpp>
#include <exception>
#include <string>
#include <vector>

#include "support/accuracy.hpp"

namespace support {

inline bool is_zero(double x) { return x == 0; }
inline bool is_nan(double x) { return std::isnan(x); }
inline bool is_finite(double x) { return std::isfinite(x); }

struct row_outcome {
  double value = 0;
  std::vector<double> gradient;

  bool gradient_is(bool (*what)(double)) const { return std::all_of(gradient.begin(), gradient.end(), what); }
};

template <class T, class L>
row_outcome row_outcome_of(const L& loss, const std::vector<double>& student,
                           const std::vector<double>& teacher, const distill::row_options& rows = {}) {
  const guarded_matrix<T> z(1, student), t(1, teacher);
  guarded_matrix<T> g(1, student.size());
  g.fill(77);
  row_outcome result{loss(z.view(), t.view(), g.view(), rows), std::vector<double>(student.size())};
  for (std::size_t c = 0; c < student.size(); ++c) result.gradient[c] = g.at(0, c);
  return result;
}

template <class T, class L>
void check_row(const L& loss, const std::vector<double>& student, const std::vector<double>& teacher,
               const tolerance& allowed) {
  const guarded_matrix<T> z(1, student), t(1, teacher);
  guarded_matrix<T> g(1, student.size());
  const loss_case one = case_of(loss);
  const deviation off = deviation_of(one, z, t, g);
  INFO(one.name << ", " << student.size() << " classes, " << name_of(distill::element_traits<T>::type));
  CAPTURE(off.value, off.gradient, off.absolute_value, off.absolute_gradient);
  CHECK(off.value_within(allowed));
  CHECK(off.gradient_within(allowed, distill::element_traits<T>::type));
}

/// In float and in double.
template <class L>
void check_row(const L& loss, const std::vector<double>& student, const std::vector<double>& teacher) {
  check_row<float>(loss, student, teacher, {1e-6, 2e-6});
  check_row<double>(loss, student, teacher, {1e-12, 1e-12});
}

template <class L>
std::string refusal_of(const L& loss) {
  const double z[] = {0, 1, 2, 3, 4, 5}, t[] = {5, 4, 3, 2, 1, 0};
  double g[] = {7, 7, 7, 7, 7, 7};
  std::string message = "no exception";
  try {
    (void)loss(distill::matrix_view(z, 2, 3), distill::matrix_view(t, 2, 3), distill::matrix_view(g, 2, 3));
  } catch (const std::exception& error) {
    message = error.what();
  }
  for (const double entry : g) CHECK(entry == 7);
  return message;
}

}  // namespace support
