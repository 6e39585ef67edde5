#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/forward_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/oracle_sweep.hpp"

using namespace distill;

TEST_CASE("forward_kl against the oracle") {
  support::check_against_oracle(support::maker_of(forward_kl{}));
  support::check_against_oracle(support::maker_of(forward_kl{.temperature = 4}));
  support::check_against_oracle(support::maker_of(forward_kl{.temperature = 3, .teacher_temperature = 0.7}));
  support::check_against_oracle(support::maker_of(
      forward_kl{.temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false}));
}

// Half the mass against a third: log(1/2 / (1/3)) and log(1/2 / (2/3)), each with weight 1/2.
TEST_CASE("forward_kl of two classes by hand") {
  const double student[] = {0, std::log(2.0)}, teacher[] = {0, 0};
  const double expected = 0.5 * std::log(1.5) + 0.5 * std::log(0.75);
  double gradient[2];
  CHECK(forward_kl{}(matrix_view(student, 1, 2), matrix_view(teacher, 1, 2), matrix_view(gradient, 1, 2)) ==
        Approx(expected).epsilon(1e-14));
  CHECK(gradient[0] == Approx(1.0 / 3 - 0.5).epsilon(1e-14));
  CHECK(gradient[1] == Approx(2.0 / 3 - 0.5).epsilon(1e-14));
}

TEST_CASE("forward_kl applies the temperature before the softmax and its square after") {
  const double student[] = {0, 4 * std::log(2.0)}, teacher[] = {0, 0};
  const double expected = 0.5 * std::log(1.5) + 0.5 * std::log(0.75);
  double gradient[2];
  const matrix_view z(student, 1, 2), t(teacher, 1, 2);
  const matrix_view g(gradient, 1, 2);
  CHECK(forward_kl{.temperature = 4}(z, t, g) == Approx(16 * expected).epsilon(1e-14));
  CHECK(gradient[1] == Approx(4 * (2.0 / 3 - 0.5)).epsilon(1e-14));
  CHECK(forward_kl{.temperature = 4, .temperature_squared = false}(z, t, g) ==
        Approx(expected).epsilon(1e-14));
  CHECK(gradient[1] == Approx((2.0 / 3 - 0.5) / 4).epsilon(1e-14));
  CHECK(forward_kl{.temperature = 4, .teacher_temperature = 3}(z, t, g) ==
        Approx(12 * expected).epsilon(1e-14));
  CHECK(gradient[1] == Approx(3 * (2.0 / 3 - 0.5)).epsilon(1e-14));
}

TEST_CASE("forward_kl keeps the digits of a small value where one unlikely class differs much") {
  for (const std::size_t classes : {10u, 128u}) {
    constexpr std::size_t kRows = 32;
    std::vector<float> teacher(kRows * classes), gradient(kRows * classes);
    for (std::size_t i = 0; i < teacher.size(); ++i) teacher[i] = static_cast<float>(i * 7 % 13) / 16;
    for (std::size_t row = 0; row < kRows; ++row) teacher[row * classes + row % classes] = -12;
    std::vector<float> student = teacher;
    for (std::size_t row = 0; row < kRows; ++row) student[row * classes + row % classes] = -7;
    long double expected = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      const float *t = &teacher[row * classes], *z = &student[row * classes];
      long double teacher_sum = 0, student_sum = 0, difference = 0;
      for (std::size_t c = 0; c < classes; ++c) {
        teacher_sum += std::exp(static_cast<long double>(t[c]));
        student_sum += std::exp(static_cast<long double>(z[c]));
      }
      for (std::size_t c = 0; c < classes; ++c)
        difference += std::exp(static_cast<long double>(t[c])) * (static_cast<long double>(t[c]) - z[c]);
      expected += difference / teacher_sum + std::log(student_sum / teacher_sum);
    }
    const matrix_view z(student.data(), kRows, classes), t(teacher.data(), kRows, classes);
    const double value = forward_kl{.temperature = 1}(z, t, matrix_view(gradient.data(), kRows, classes));
    INFO(classes << " classes");
    CHECK(value == Approx(static_cast<double>(expected / kRows)).epsilon(1e-6));
  }
}
