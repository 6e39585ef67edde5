#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/view/matrix_view.hpp>
#include <distill/view/vector_view.hpp>
#include <limits>
#include <vector>

#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"

using namespace distill;

namespace {
support::case_maker maker(double temperature, double smoothing, bool ignore_some) {
  return [=](std::size_t rows, std::size_t classes) {
    return support::cross_entropy_case(rows, classes, temperature, smoothing, ignore_some);
  };
}
}  // namespace

TEST_CASE("cross_entropy against the oracle") {
  support::check_against_oracle(maker(1, 0, false));
  support::check_against_oracle(maker(2, 0, true));
  support::check_against_oracle(maker(0.5, 0.1, true));
  support::check_against_oracle(maker(1, 1, false));
}

TEST_CASE("cross_entropy needs no teacher, and is the same with one") {
  const float student[] = {0, 1, 2, 3, 4, 5}, teacher[] = {9, 9, 9, 9, 9, 9};
  const std::int32_t labels[] = {2, 0};
  float alone[6], beside[6];
  const matrix_view z(student, 2, 3);
  const cross_entropy loss{.labels = labels};
  const double value = loss(z, no_teacher, matrix_view(alone, 2, 3));
  CHECK(value == loss(z));
  CHECK(value == loss(z, matrix_view(teacher, 2, 3), matrix_view(beside, 2, 3)));
  for (int i = 0; i < 6; ++i) CHECK(alone[i] == beside[i]);
  const double log_sum = std::log(std::exp(-2.0) + std::exp(-1.0) + 1);
  CHECK(value == Approx((log_sum + (log_sum + 2)) / 2).epsilon(1e-6));
}

TEST_CASE("cross_entropy has no T² on the value, and 1 / T on the gradient") {
  const double student[] = {0, 3 * std::log(2.0)};
  const std::uint8_t labels[] = {1};
  double gradient[2];
  CHECK(cross_entropy{.labels = labels, .temperature = 3}(matrix_view(student, 1, 2), no_teacher,
                                                          matrix_view(gradient, 1, 2)) ==
        Approx(std::log(1.5)).epsilon(1e-14));
  CHECK(gradient[0] == Approx(1.0 / 9).epsilon(1e-14));
}

TEST_CASE("cross_entropy ignores rows whose label is ignore_index: not read, not counted, gradient 0") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::size_t classes : {3u, 50u}) {
    std::vector<float> student(3 * classes, 0), gradient(3 * classes, 7);
    for (std::size_t c = 0; c < classes; ++c) student[classes + c] = nan;
    const std::int64_t labels[] = {0, -1, 1};
    double values[3];
    const double value = cross_entropy{.labels = labels, .ignore_index = -1}(
        matrix_view(student.data(), 3, classes), no_teacher, matrix_view(gradient.data(), 3, classes),
        {.row_values = values});
    INFO(classes << " classes");
    CHECK(value == Approx(std::log(static_cast<double>(classes))).epsilon(1e-6));
    CHECK(values[1] == 0);
    for (std::size_t c = 0; c < classes; ++c) CHECK(gradient[classes + c] == 0);
    CHECK(gradient[0] == Approx((1.0 / static_cast<double>(classes) - 1) / 2).epsilon(1e-6));
  }
}

TEST_CASE("cross_entropy may ignore a class that exists") {
  const double student[] = {0, 0, 0, 0};
  const std::int32_t labels[] = {0, 1};
  double gradient[4];
  CHECK(cross_entropy{.labels = labels, .ignore_index = 0}(matrix_view(student, 2, 2), no_teacher,
                                                           matrix_view(gradient, 2, 2)) ==
        Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(gradient[0] == 0);
  CHECK(gradient[2] == Approx(0.5).epsilon(1e-14));
}

TEST_CASE("cross_entropy reads the three label types and strided labels alike") {
  const auto logits = support::independent_logits(4, 9, 3);
  const matrix_view z(logits.student.data(), 4, 9);
  const std::vector<std::int32_t> of_32 = {3, 8, 0, 5};
  const std::vector<std::int64_t> of_64 = {3, 8, 0, 5};
  const std::array<std::uint8_t, 4> of_8 = {3, 8, 0, 5};
  const std::int32_t spread[] = {3, -7, 8, -7, 0, -7, 5};
  const double expected = cross_entropy{.labels = of_64}(z);
  CHECK(cross_entropy{.labels = of_32}(z) == expected);
  CHECK(cross_entropy{.labels = of_8}(z) == expected);
  CHECK(cross_entropy{.labels = vector_view<const std::int32_t>(spread, 4, 2)}(z) == expected);
}

TEST_CASE("cross_entropy of an impossible label is +inf, with smoothing so is any impossible class") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const std::size_t classes : {4u, 70u}) {
    std::vector<double> student(classes, 1.0);
    student[1] = -infinity;
    const matrix_view z(student.data(), 1, classes);
    const std::int32_t impossible[] = {1}, possible[] = {0};
    INFO(classes << " classes");
    CHECK(cross_entropy{.labels = impossible}(z) == infinity);
    CHECK(cross_entropy{.labels = possible}(z) ==
          Approx(std::log(static_cast<double>(classes - 1))).epsilon(1e-12));
    CHECK(cross_entropy{.labels = possible, .label_smoothing = 0.1}(z) == infinity);
  }
}
