#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/adaptive_kl.hpp>
#include <distill/loss/decoupled_kl.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/row_options.hpp>
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

case_maker decoupled_maker(decoupled_kl loss) {
  return [loss](std::size_t rows, std::size_t classes) {
    auto labels = std::make_shared<std::vector<std::int64_t>>(rows);
    for (std::size_t row = 0; row < rows; ++row)
      (*labels)[row] = static_cast<std::int64_t>(row * 5 % classes);
    decoupled_kl labelled = loss;
    labelled.labels = *labels;
    loss_case result = case_of(labelled);
    result.labels = labels;
    return result;
  };
}

const std::int32_t first[] = {0}, second[] = {1};

}  // namespace

TEST_CASE("decoupled_kl against the oracle") {
  check_against_oracle(decoupled_maker({}));
  check_against_oracle(decoupled_maker({.alpha = 2, .beta = 0.5, .temperature = 4}));
  check_against_oracle(decoupled_maker({.alpha = 0, .beta = 1}));
  check_against_oracle(decoupled_maker(
      {.alpha = 1, .temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false}));
}

// Teacher (1/2, 1/4, 1/4), student (1/4, 1/4, 1/2), label 0.
TEST_CASE("decoupled_kl of three classes by hand") {
  const std::vector<double> teacher = {std::log(2.0), 0, 0}, student = {0, 0, std::log(2.0)};
  const double target = 0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75);
  const double others = 0.5 * std::log(0.5 * 3) + 0.5 * std::log(0.5 * 1.5);
  const auto both =
      row_outcome_of<double>(decoupled_kl{.labels = first, .alpha = 3, .beta = 2}, student, teacher);
  CHECK(both.value == Approx(3 * target + 2 * others).epsilon(1e-14));
  CHECK(both.gradient[0] == Approx(3 * (0.25 - 0.5)).epsilon(1e-14));
  CHECK(both.gradient[1] == Approx(2 * (1.0 / 3 - 0.5) + 3 * 0.25 / 3).epsilon(1e-14));
  CHECK(both.gradient[2] == Approx(2 * (2.0 / 3 - 0.5) + 3 * 0.25 * 2 / 3).epsilon(1e-14));
  CHECK(
      row_outcome_of<double>(decoupled_kl{.labels = first, .alpha = 0, .beta = 1}, student, teacher).value ==
      Approx(others).epsilon(1e-14));
  CHECK(
      row_outcome_of<double>(decoupled_kl{.labels = first, .alpha = 1, .beta = 0}, student, teacher).value ==
      Approx(target).epsilon(1e-14));
}

TEST_CASE("decoupled_kl with alpha 1 and beta 1 - p of the label is forward_kl") {
  const logit_pair logits = independent_logits(1, 40, 3);
  const std::vector<long double> exact(logits.teacher.begin(), logits.teacher.end());
  const double p = static_cast<double>(oracle::softmax(exact.data(), 40, 2)[1]);
  const decoupled_kl loss{.labels = second, .alpha = 1, .beta = 1 - p, .temperature = 2};
  const auto apart = row_outcome_of<double>(loss, logits.student, logits.teacher);
  const auto whole = row_outcome_of<double>(forward_kl{.temperature = 2}, logits.student, logits.teacher);
  CHECK(apart.value == Approx(whole.value).epsilon(1e-12));
  for (std::size_t c = 0; c < 40; ++c) CHECK(apart.gradient[c] == Approx(whole.gradient[c]).margin(1e-13));
}

TEST_CASE("decoupled_kl of two classes has no others to compare, of one class nothing") {
  const std::vector<double> student = {0.3, -1.2}, teacher = {2, -1};
  for (const double temperature : {1.0, 0.7}) {
    const decoupled_kl without{.labels = first, .beta = 0, .teacher_temperature = temperature};
    decoupled_kl with = without;
    with.beta = 1e6;
    const auto a = row_outcome_of<float>(without, student, teacher),
               b = row_outcome_of<float>(with, student, teacher);
    CHECK(a.value == b.value);
    CHECK(a.gradient == b.gradient);
    check_row(with, student, teacher);
    const auto one = row_outcome_of<float>(with, {3}, {-2});
    CHECK(one.value == 0);
    CHECK(one.gradient_is(is_zero));
  }
}

// In float 1 - p of the label is 0.
TEST_CASE("decoupled_kl of a confident teacher, or a confident student") {
  for (const double confident : {20.0, 60.0, 300.0, 2000.0}) {
    const std::vector<double> sure = {confident, 0, 1, -1, 2, 0.5}, open = {0.5, 0, -1, 2, 1, 0};
    const decoupled_kl loss{.labels = first};
    check_row(loss, open, sure);
    check_row(loss, sure, open);
    const std::vector<double> also_sure = {confident + 1, 0, -1, 2, 1, 0};
    check_row(loss, also_sure, sure);
    const decoupled_kl target{.labels = first, .beta = 0};
    CHECK(row_outcome_of<float>(target, also_sure, sure).value >= 0);
    CHECK(row_outcome_of<float>(target, also_sure, sure).gradient_is(is_finite));
    // The label is impossible in the end.
    const std::vector<double> never = {-confident, 0, 1, -1, 2, 0.5};
    check_row(loss, open, never);
    check_row(loss, never, open);
  }
}

TEST_CASE("decoupled_kl of masked logits") {
  const decoupled_kl loss{.labels = first};
  const std::vector<double> student = {0.5, 1, -1, 2}, teacher = {1, -0.5, 0.25, 1};
  const auto masked = [](std::vector<double> row, std::initializer_list<std::size_t> classes) {
    for (const std::size_t c : classes) row[c] = -kInfinity;
    return row;
  };
  // The label in the teacher only, or in both: p of the label is 0.
  check_row(loss, student, masked(teacher, {0}));
  const auto both = row_outcome_of<float>(loss, masked(student, {0}), masked(teacher, {0}));
  const auto others = row_outcome_of<float>(forward_kl{}, {1, -1, 2}, {-0.5, 0.25, 1});
  CHECK(both.value == Approx(8 * others.value).epsilon(1e-6));
  CHECK(both.gradient[0] == 0);
  CHECK(row_outcome_of<float>(loss, masked(student, {0}), teacher).value == kInfinity);
  CHECK(row_outcome_of<double>(loss, masked(student, {2}), teacher).value == kInfinity);
  check_row(loss, student, masked(teacher, {2}));
  // No other class in the teacher: only the label is compared.
  const auto alone = row_outcome_of<double>(loss, student, masked(teacher, {1, 2, 3}));
  const std::vector<long double> exact(student.begin(), student.end());
  const auto q = oracle::softmax(exact.data(), 4, 1);
  CHECK(alone.value == Approx(-std::log(static_cast<double>(q[0]))).epsilon(1e-13));
  CHECK(alone.gradient[0] == Approx(static_cast<double>(q[0] - 1)).epsilon(1e-13));
  CHECK(alone.gradient[3] == Approx(static_cast<double>(q[3])).epsilon(1e-13));
  CHECK(row_outcome_of<float>(loss, student, masked(teacher, {1, 2, 3})).value ==
        Approx(alone.value).epsilon(1e-6));
  CHECK(row_outcome_of<float>(loss, masked(student, {1, 2, 3}), teacher).value == kInfinity);
  const auto certain = row_outcome_of<float>(loss, masked(student, {1, 2, 3}), masked(teacher, {1, 2, 3}));
  CHECK(certain.value == 0);
  CHECK(certain.gradient_is(is_zero));
  // A part of weight 0 takes no part.
  CHECK(std::isfinite(
      row_outcome_of<float>(decoupled_kl{.labels = first, .beta = 0}, masked(student, {2}), teacher).value));
  CHECK(std::isfinite(
      row_outcome_of<float>(decoupled_kl{.labels = first, .alpha = 0}, masked(student, {0}), teacher).value));
}

TEST_CASE("decoupled_kl of a row without probabilities is NaN") {
  for (const double bad : {kNan, kInfinity})
    for (const std::size_t where : {0u, 2u})
      for (const double beta : {0.0, 8.0})
        for (const std::size_t classes : {1u, 3u, 20u}) {
          if (where >= classes) continue;
          std::vector<double> good(classes, 0.5), spoiled(classes, 0.5);
          spoiled[where] = bad;
          const decoupled_kl loss{.labels = first, .beta = beta};
          for (const auto& result :
               {row_outcome_of<float>(loss, spoiled, good), row_outcome_of<float>(loss, good, spoiled),
                row_outcome_of<double>(loss, spoiled, good)}) {
            CHECK(std::isnan(result.value));
            CHECK(result.gradient_is(is_nan));
          }
        }
}

TEST_CASE("decoupled_kl divides by the rows that count") {
  const logit_pair logits = independent_logits(4, 9, 2);
  const std::int64_t labels[] = {3, -100, 2, 8}, two_labels[] = {3, 2};
  const float mask[] = {1, 1, 1, 0};
  std::vector<double> few_z, few_t, gradient(36, 7), few_gradient(18);
  for (const std::size_t row : {0u, 2u})
    for (std::size_t c = 0; c < 9; ++c) {
      few_z.push_back(logits.student[row * 9 + c]);
      few_t.push_back(logits.teacher[row * 9 + c]);
    }
  const double value = decoupled_kl{.labels = labels}(
      matrix_view(logits.student.data(), 4, 9), matrix_view(logits.teacher.data(), 4, 9),
      matrix_view(gradient.data(), 4, 9), {.row_weights = mask});
  CHECK(value == decoupled_kl{.labels = two_labels}(matrix_view(few_z.data(), 2, 9),
                                                    matrix_view(few_t.data(), 2, 9),
                                                    matrix_view(few_gradient.data(), 2, 9)));
  for (std::size_t c = 0; c < 9; ++c) {
    CHECK(gradient[c] == few_gradient[c]);
    CHECK(gradient[18 + c] == few_gradient[9 + c]);
    CHECK(gradient[9 + c] == 0);
    CHECK(gradient[27 + c] == 0);
  }
}

TEST_CASE("decoupled_kl refuses parameters and labels out of range") {
  const std::int32_t good[] = {0, 2}, bad[] = {0, 3}, short_labels[] = {0};
  CHECK(refusal_of(decoupled_kl{.labels = good, .alpha = -1}) ==
        "decoupled_kl: alpha must be finite and >= 0, got -1");
  CHECK(refusal_of(decoupled_kl{.labels = good, .beta = kInfinity}) ==
        "decoupled_kl: beta must be finite and >= 0, got inf");
  CHECK(refusal_of(decoupled_kl{.labels = good, .temperature = 0}) ==
        "decoupled_kl: temperature must be finite and > 0, got 0");
  CHECK(refusal_of(decoupled_kl{.labels = bad}) ==
        "decoupled_kl: labels[1] is 3, must be in [0, 3) or ignore_index -100");
  CHECK(refusal_of(decoupled_kl{.labels = short_labels}) ==
        "decoupled_kl: labels has 1 entries, student has 2 rows");
  CHECK(to_string(decoupled_kl{.labels = good, .temperature = 4}) ==
        "decoupled_kl{.temperature = 4, .alpha = 1, .beta = 8, .ignore_index = -100}");
}

TEST_CASE("losses that transform rows share an objective with others") {
  const logit_pair logits = independent_logits(1, 50, 4);
  const decoupled_kl decoupled{.labels = second, .temperature = 2};
  const auto sum = 0.5 * decoupled + 2 * forward_kl{.temperature = 2} + 0.25 * adaptive_kl{};
  const auto together = row_outcome_of<float>(sum, logits.student, logits.teacher);
  const auto a = row_outcome_of<float>(decoupled, logits.student, logits.teacher),
             b = row_outcome_of<float>(forward_kl{.temperature = 2}, logits.student, logits.teacher),
             c = row_outcome_of<float>(adaptive_kl{}, logits.student, logits.teacher);
  CHECK(together.value == Approx(0.5 * a.value + 2 * b.value + 0.25 * c.value).epsilon(1e-6));
  for (std::size_t i = 0; i < 50; ++i)
    CHECK(together.gradient[i] ==
          Approx(0.5 * a.gradient[i] + 2 * b.gradient[i] + 0.25 * c.gradient[i]).margin(1e-6));
}
