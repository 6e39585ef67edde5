#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/corrected_kl.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/view/matrix_view.hpp>
#include <memory>
#include <vector>

#include "support/one_row.hpp"
#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"
#include "support/special_values.hpp"

using namespace distill;
using namespace support;

namespace {

const std::int32_t class_0[] = {0}, class_1[] = {1};

case_maker corrected_maker(corrected_kl loss) {
  return [loss](std::size_t rows, std::size_t classes) {
    auto labels = std::make_shared<std::vector<std::int64_t>>(rows);
    for (std::size_t row = 0; row < rows; ++row)
      (*labels)[row] = static_cast<std::int64_t>(row * 5 % classes);
    corrected_kl labelled = loss;
    labelled.labels = *labels;
    loss_case result = case_of(labelled);
    result.labels = labels;
    return result;
  };
}

// The corrected teacher, read off a gradient q - c.
std::vector<double> target_of(const corrected_kl& loss, const std::vector<double>& student,
                              const std::vector<double>& teacher) {
  const std::vector<long double> exact(student.begin(), student.end());
  const auto q = oracle::softmax(exact.data(), student.size(), 1);
  std::vector<double> target = row_outcome_of<double>(loss, student, teacher).gradient;
  for (std::size_t c = 0; c < target.size(); ++c) target[c] = static_cast<double>(q[c]) - target[c];
  return target;
}

}  // namespace

TEST_CASE("corrected_kl against the oracle") {
  check_against_oracle(corrected_maker({}));
  check_against_oracle(corrected_maker({.threshold = 0.6, .temperature = 4}));
  check_against_oracle(corrected_maker({.threshold = 0}));
  check_against_oracle(corrected_maker(
      {.threshold = 0.9, .temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false}));
}

// p = (1/4, 1/2, 1/4), label 0, τ = 1/5: λ = (1/2 - 1/4 + 1/5) / (5/4) = 0.36, c = (0.52, 0.32, 0.16).
TEST_CASE("corrected_kl of three classes by hand") {
  const std::vector<double> teacher = {0, std::log(2.0), 0}, student = {0, 0, 0};
  const auto result =
      row_outcome_of<double>(corrected_kl{.labels = class_0, .threshold = 0.2}, student, teacher);
  CHECK(result.value ==
        Approx(0.52 * std::log(1.56) + 0.32 * std::log(0.96) + 0.16 * std::log(0.48)).epsilon(1e-13));
  CHECK(result.gradient[0] == Approx(1.0 / 3 - 0.52).epsilon(1e-13));
  CHECK(result.gradient[1] == Approx(1.0 / 3 - 0.32).epsilon(1e-13));
}

TEST_CASE("corrected_kl leaves a label alone that leads by the threshold") {
  const std::vector<double> student = {0.5, -1, 2, 0}, teacher = {3, 1, 0, 0.5};
  const auto plain = row_outcome_of<double>(forward_kl{}, student, teacher);
  const auto kept =
      row_outcome_of<double>(corrected_kl{.labels = class_0, .threshold = 0.2}, student, teacher);
  CHECK(kept.value == Approx(plain.value).epsilon(1e-14));
  for (std::size_t c = 0; c < 4; ++c) CHECK(kept.gradient[c] == Approx(plain.gradient[c]).margin(1e-15));
  CHECK(row_outcome_of<double>(corrected_kl{.labels = class_0, .threshold = 0.95}, student, teacher).value !=
        Approx(plain.value).epsilon(1e-3));
  CHECK(row_outcome_of<double>(corrected_kl{.labels = class_1, .threshold = 0.2}, student, teacher).value !=
        Approx(plain.value).epsilon(1e-3));
}

TEST_CASE("corrected_kl raises the label just to the threshold and keeps the others' proportions") {
  const std::vector<double> student = {0.5, -1, 2, 0}, teacher = {-1, 2, 1.5, 0.5};
  const std::vector<long double> exact(teacher.begin(), teacher.end());
  const auto p = oracle::softmax(exact.data(), 4, 1);
  for (const double threshold : {0.0, 0.1, 0.5, 0.99, 0.999999}) {
    const auto c = target_of({.labels = class_0, .threshold = threshold}, student, teacher);
    CHECK(c[0] + c[1] + c[2] + c[3] == Approx(1).epsilon(1e-13));
    CHECK(c[0] - c[1] == Approx(threshold).margin(1e-13));
    CHECK(c[2] / c[1] == Approx(static_cast<double>(p[2] / p[1])).epsilon(1e-8));
    CHECK(c[3] / c[1] == Approx(static_cast<double>(p[3] / p[1])).epsilon(1e-8));
  }
}

// Not only a wrong most probable class is corrected, also a lead that is too small.
TEST_CASE("corrected_kl raises a label that leads by too little") {
  const std::vector<double> student = {0, 0, 0}, teacher = {0.1, 0, 0};
  const auto c = target_of({.labels = class_0, .threshold = 0.3}, student, teacher);
  CHECK(c[0] - c[1] == Approx(0.3).epsilon(1e-12));
}

TEST_CASE("corrected_kl of labels that the teacher thinks impossible, and of certain teachers") {
  const std::vector<double> student = {0.5, -1, 2, 0};
  for (const double never : {-30.0, -200.0, -5000.0, -kInfinity}) {
    const std::vector<double> teacher = {never, 1, 0, 0.5};
    check_row(corrected_kl{.labels = class_0}, student, teacher);
  }
  for (const double sure : {30.0, 200.0, 5000.0}) {
    check_row(corrected_kl{.labels = class_0}, student, {0, sure, 1, 0.5});
    check_row(corrected_kl{.labels = class_1}, student, {0, sure, 1, 0.5});
    check_row(corrected_kl{.labels = class_0}, {sure / 10, 0, 1, 0}, {0, sure, 1, 0.5});
  }
  const auto only = row_outcome_of<float>(corrected_kl{.labels = class_1}, student,
                                          {-kInfinity, 1, -kInfinity, -kInfinity});
  CHECK(only.value ==
        Approx(cross_entropy{.labels = class_1}(matrix_view(student.data(), 1, 4))).epsilon(1e-6));
  // A target where the student has nothing.
  CHECK(row_outcome_of<float>(corrected_kl{.labels = class_0}, {-kInfinity, 1, 0, 0}, {0, 1, 0, 0}).value ==
        kInfinity);
  CHECK(row_outcome_of<float>(corrected_kl{.labels = class_0}, {1, -kInfinity, 0, 0}, {0, -kInfinity, 0, 0})
            .value >= 0);
}

TEST_CASE("corrected_kl of one class is 0, of a row without probabilities NaN") {
  const auto one =
      row_outcome_of<float>(corrected_kl{.labels = class_0, .teacher_temperature = 3}, {4}, {-1});
  CHECK(one.value == 0);
  CHECK(one.gradient_is(is_zero));
  const std::vector<double> good = {0, 1, 2}, none(3, -kInfinity);
  for (const double bad : {kNan, kInfinity})
    for (const std::size_t where : {0u, 1u}) {
      std::vector<double> spoiled = good;
      spoiled[where] = bad;
      for (const auto& result : {row_outcome_of<float>(corrected_kl{.labels = class_0}, spoiled, good),
                                 row_outcome_of<float>(corrected_kl{.labels = class_0}, good, spoiled),
                                 row_outcome_of<double>(corrected_kl{.labels = class_0}, good, none),
                                 row_outcome_of<float>(corrected_kl{.labels = class_0}, good, none)}) {
        CHECK(std::isnan(result.value));
        CHECK(result.gradient_is(is_nan));
      }
    }
}

TEST_CASE("corrected_kl does not read rows whose label is ignored") {
  const double student[] = {0, 1, 2, kNan, kNan, kNan}, teacher[] = {1, 0, 0, kNan, kNan, kNan};
  const std::int32_t labels[] = {0, -1};
  double gradient[6] = {7, 7, 7, 7, 7, 7};
  const double value = corrected_kl{.labels = labels, .ignore_index = -1}(
      matrix_view(student, 2, 3), matrix_view(teacher, 2, 3), matrix_view(gradient, 2, 3));
  CHECK(value == corrected_kl{.labels = class_0}(matrix_view(student, 1, 3), matrix_view(teacher, 1, 3)));
  for (int c = 3; c < 6; ++c) CHECK(gradient[c] == 0);
}

TEST_CASE("corrected_kl refuses parameters and labels out of range") {
  const std::int32_t good[] = {0, 2}, bad[] = {-5, 2};
  CHECK(refusal_of(corrected_kl{.labels = good, .threshold = 1}) ==
        "corrected_kl: threshold must be in [0, 1), got 1");
  CHECK(refusal_of(corrected_kl{.labels = good, .threshold = -0.5}) ==
        "corrected_kl: threshold must be in [0, 1), got -0.5");
  CHECK(refusal_of(corrected_kl{.labels = bad}) ==
        "corrected_kl: labels[0] is -5, must be in [0, 3) or ignore_index -100");
  CHECK(to_string(corrected_kl{.labels = good, .temperature = 2}) ==
        "corrected_kl{.temperature = 2, .threshold = 0.2, .ignore_index = -100}");
}
