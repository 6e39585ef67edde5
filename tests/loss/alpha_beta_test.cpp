#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/alpha_beta.hpp>
#include <distill/view/matrix_view.hpp>

#include "support/oracle_sweep.hpp"

using namespace distill;

TEST_CASE("alpha_beta against the oracle") {
  support::check_against_oracle(support::maker_of(alpha_beta{}));
  support::check_against_oracle(support::maker_of(alpha_beta{.temperature = 3, .alpha = 0.3, .beta = 0.4}));
  support::check_against_oracle(support::maker_of(alpha_beta{
      .temperature = 2, .teacher_temperature = 1.5, .temperature_squared = false, .alpha = 1, .beta = 1}));
}

TEST_CASE("alpha_beta against the oracle at its limits") {
  for (const auto& [alpha, beta] :
       {std::pair{1.0, 0.0}, {0.0, 1.0}, {0.5, 0.0}, {0.0, 0.5}, {0.5, -0.5}, {0.0, 0.0}})
    support::check_against_oracle(
        support::maker_of(alpha_beta{.temperature = 2, .alpha = alpha, .beta = beta}));
}

TEST_CASE("alpha_beta with a negative parameter against the oracle, in double") {
  for (const auto& [alpha, beta] : {std::pair{2.0, -1.0}, {-1.0, 2.0}, {-0.5, 1.0}, {-0.3, -0.4}})
    support::check_double(support::maker_of(alpha_beta{.temperature = 2, .alpha = alpha, .beta = beta}));
}

TEST_CASE("alpha_beta near a limit approaches it") {
  const double student[] = {0.3, -1, 2, 0}, teacher[] = {1, 0, -0.5, 0.7};
  const matrix_view z(student, 1, 4), t(teacher, 1, 4);
  constexpr double step = 1e-7;
  for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {0.0, 1.0}, {0.5, -0.5}, {0.0, 0.0}}) {
    const double limit = alpha_beta{.alpha = alpha, .beta = beta}(z, t);
    CHECK(alpha_beta{.alpha = alpha + step, .beta = beta + 2 * step}(z, t) == Approx(limit).epsilon(2e-5));
  }
}

// p² / q = e^40 / 4 dominates: (p² / q - 2 p + q) / 2 at (2, -1).
TEST_CASE("alpha_beta with large finite powers of the ratio is finite") {
  const double student[] = {0, -40}, teacher[] = {0, 0};
  const matrix_view z(student, 1, 2), t(teacher, 1, 2);
  const double q = std::exp(-40.0) / (1 + std::exp(-40.0));
  const double expected = (0.25 / q + 0.25 / (1 - q) - 1) / 2;
  CHECK(alpha_beta{.alpha = 2, .beta = -1}(z, t) == Approx(expected).epsilon(1e-12));
  const float student_float[] = {0, -40}, teacher_float[] = {0, 0};
  CHECK(alpha_beta{.alpha = 2, .beta = -1}(matrix_view(student_float, 1, 2),
                                           matrix_view(teacher_float, 1, 2)) ==
        Approx(expected).epsilon(1e-5));
}

TEST_CASE("alpha_beta at (1/2, 1/2) is four times the squared Hellinger distance") {
  const double student[] = {0, std::log(3.0)}, teacher[] = {0, 0};
  const double a = std::sqrt(0.5) - std::sqrt(0.25), b = std::sqrt(0.5) - std::sqrt(0.75);
  CHECK(alpha_beta{}(matrix_view(student, 1, 2), matrix_view(teacher, 1, 2)) ==
        Approx(4 * 0.5 * (a * a + b * b)).epsilon(1e-13));
}
