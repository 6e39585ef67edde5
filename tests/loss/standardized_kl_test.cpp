#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/standardized_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/one_row.hpp"
#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"
#include "support/special_values.hpp"

using namespace distill;
using namespace support;

namespace {

std::vector<double> scaled(std::vector<double> row, double factor, double offset) {
  for (double& x : row) x = factor * x + offset;
  return row;
}

}  // namespace

TEST_CASE("standardized_kl against the oracle") {
  check_against_oracle(maker_of(standardized_kl{}));
  check_against_oracle(maker_of(standardized_kl{.temperature = 4}));
  check_against_oracle(maker_of(standardized_kl{
      .temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false, .epsilon = 0.1}));
}

// Standardised, (0, 0, 3) is (-1, -1, 2) / √3 and (0, 1, 2) is (-1, 0, 1).
TEST_CASE("standardized_kl of three classes by hand") {
  const double student[] = {0, 0, 3}, teacher[] = {0, 1, 2};
  const double y[] = {-1 / std::sqrt(3.0), -1 / std::sqrt(3.0), 2 / std::sqrt(3.0)}, v[] = {-1, 0, 1};
  const double expected = forward_kl{.temperature = 2}(matrix_view(y, 1, 3), matrix_view(v, 1, 3));
  CHECK(standardized_kl{.temperature = 2}(matrix_view(student, 1, 3), matrix_view(teacher, 1, 3)) ==
        Approx(expected).epsilon(1e-6));
}

TEST_CASE("standardized_kl does not see a row's mean and spread, but for epsilon") {
  const logit_pair logits = independent_logits(1, 50, 4);
  const double plain = row_outcome_of<double>(standardized_kl{}, logits.student, logits.teacher).value;
  CHECK(
      row_outcome_of<double>(standardized_kl{}, scaled(logits.student, 7, 3), scaled(logits.teacher, 0.3, -9))
          .value == Approx(plain).epsilon(1e-6));
  CHECK(
      row_outcome_of<float>(standardized_kl{}, scaled(logits.student, 7, 3), scaled(logits.teacher, 0.3, -9))
          .value == Approx(plain).epsilon(1e-5));
  CHECK(row_outcome_of<double>(standardized_kl{.epsilon = 1}, scaled(logits.student, 7, 3), logits.teacher)
            .value !=
        Approx(row_outcome_of<double>(standardized_kl{.epsilon = 1}, logits.student, logits.teacher).value)
            .epsilon(1e-3));
  // The student that is the teacher but for them has learned everything.
  const auto learned =
      row_outcome_of<double>(standardized_kl{}, scaled(logits.teacher, 2.5, -1), logits.teacher);
  CHECK(learned.value < 1e-12);
  for (const double entry : learned.gradient) CHECK(std::abs(entry) < 1e-7);
}

TEST_CASE("standardized_kl's gradient is orthogonal to the student's mean and spread") {
  const logit_pair logits = independent_logits(1, 30, 9);
  const auto result = row_outcome_of<double>(standardized_kl{}, logits.student, logits.teacher);
  double sum = 0, along = 0;
  for (std::size_t c = 0; c < 30; ++c) {
    sum += result.gradient[c];
    along += result.gradient[c] * logits.student[c];
  }
  CHECK(std::abs(sum) < 1e-14);
  CHECK(std::abs(along) < 1e-6);  // epsilon
}

TEST_CASE("standardized_kl of rows without spread is that of uniform distributions") {
  for (const double level : {0.0, 3.0, -1234.5, 1e6}) {
    const std::vector<double> flat(5, level), teacher = {0, 1, 2, -1, 0.5};
    for (const auto& both : {row_outcome_of<float>(standardized_kl{}, flat, flat),
                             row_outcome_of<double>(standardized_kl{}, flat, std::vector<double>(5, 2.0))}) {
      CHECK(both.value == 0);
      CHECK(both.gradient_is(is_zero));
    }
    // Uniform q, and 1 / ε in the gradient.
    const auto result = row_outcome_of<double>(standardized_kl{.epsilon = 0.01}, flat, teacher);
    const auto in_float = row_outcome_of<float>(standardized_kl{.epsilon = 0.01}, flat, teacher);
    std::vector<double> v(5);
    const double deviation = std::sqrt((0.25 + 0.25 + 2.25 + 2.25) / 4);
    for (std::size_t c = 0; c < 5; ++c) v[c] = (teacher[c] - 0.5) / (deviation + 0.01);
    const auto expected = row_outcome_of<double>(forward_kl{}, std::vector<double>(5, 0.0), v);
    CHECK(result.value == Approx(expected.value).epsilon(1e-12));
    CHECK(in_float.value == Approx(expected.value).epsilon(1e-6));
    for (std::size_t c = 0; c < 5; ++c) {
      CHECK(result.gradient[c] == Approx(expected.gradient[c] / 0.01).margin(1e-10));
      CHECK(in_float.gradient[c] == Approx(expected.gradient[c] / 0.01).margin(1e-4));
    }
    CHECK(std::isfinite(row_outcome_of<float>(standardized_kl{}, teacher, flat).value));
  }
}

TEST_CASE("standardized_kl of one and of two classes") {
  const auto one = row_outcome_of<float>(standardized_kl{.teacher_temperature = 3}, {2}, {-5});
  CHECK(one.value == 0);
  CHECK(one.gradient_is(is_zero));
  const auto agree = row_outcome_of<double>(standardized_kl{}, {1, 4}, {-3, 0.5});
  CHECK(agree.value < 1e-12);
  for (const double entry : agree.gradient) CHECK(std::abs(entry) < 1e-12);
  const auto differ = row_outcome_of<double>(standardized_kl{}, {4, 1}, {-3, 0.5});
  const double root = std::sqrt(0.5), q = 1 / (1 + std::exp(-2 * root));
  CHECK(differ.value == Approx(q * 2 * root - (1 - q) * 2 * root).epsilon(1e-6));
  for (const double entry : differ.gradient) CHECK(std::abs(entry) < 1e-6);
}

TEST_CASE("standardized_kl leaves masked logits out of mean and spread") {
  const std::vector<double> student = {0.5, 1, -kInfinity, 2, 0.25}, teacher = {1, -0.5, -kInfinity, 1, 3};
  const std::vector<double> fewer_z = {0.5, 1, 2, 0.25}, fewer_t = {1, -0.5, 1, 3};
  for (const auto& [with, without] : {std::pair{row_outcome_of<float>(standardized_kl{}, student, teacher),
                                                row_outcome_of<float>(standardized_kl{}, fewer_z, fewer_t)},
                                      {row_outcome_of<double>(standardized_kl{}, student, teacher),
                                       row_outcome_of<double>(standardized_kl{}, fewer_z, fewer_t)}}) {
    CHECK(with.value == Approx(without.value).epsilon(1e-6));
    CHECK(with.gradient[2] == 0);
    CHECK(with.gradient[4] == Approx(without.gradient[3]).epsilon(1e-5));
  }
  std::vector<double> half = teacher;
  half[2] = 0.5;
  CHECK(row_outcome_of<float>(standardized_kl{}, student, half).value == kInfinity);
  check_row(standardized_kl{}, half, teacher);
}

TEST_CASE("standardized_kl of a row without probabilities is NaN") {
  for (const double bad : {kNan, kInfinity}) {
    std::vector<double> good(7, 0), spoiled;
    good[1] = 2;
    spoiled = good;
    spoiled[3] = bad;
    for (const auto& result : {row_outcome_of<float>(standardized_kl{}, spoiled, good),
                               row_outcome_of<float>(standardized_kl{}, good, spoiled),
                               row_outcome_of<double>(standardized_kl{}, spoiled, good),
                               row_outcome_of<float>(standardized_kl{}, {bad}, {1})}) {
      CHECK(std::isnan(result.value));
      CHECK(result.gradient_is(is_nan));
    }
  }
}

TEST_CASE("standardized_kl refuses parameters out of range") {
  CHECK(refusal_of(standardized_kl{.epsilon = 0}) ==
        "standardized_kl: epsilon must be finite and > 0, got 0");
  CHECK(refusal_of(standardized_kl{.epsilon = kInfinity}) ==
        "standardized_kl: epsilon must be finite and > 0, got inf");
  CHECK(refusal_of(standardized_kl{.teacher_temperature = -1}) ==
        "standardized_kl: teacher_temperature must be finite and > 0, got -1");
  CHECK(to_string(standardized_kl{.temperature = 2, .epsilon = 0.5}) ==
        "standardized_kl{.temperature = 2, .epsilon = 0.5}");
}
