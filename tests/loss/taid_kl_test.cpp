#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/taid_kl.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/schedule/taid.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/one_row.hpp"
#include "support/oracle_row.hpp"
#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"
#include "support/special_values.hpp"

using namespace distill;
using namespace support;

TEST_CASE("taid_kl against the oracle") {
  check_against_oracle(maker_of(taid_kl{.interpolation = 0.4}));
  check_against_oracle(maker_of(taid_kl{.temperature = 4, .interpolation = 0.9}));
  check_against_oracle(maker_of(taid_kl{
      .temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false, .interpolation = 0.5}));
}

// Between q = (1/4, 3/4) and p = (3/4, 1/4) lies (1/2, 1/2).
TEST_CASE("taid_kl of two classes by hand") {
  const std::vector<double> student = {0, std::log(3.0)}, teacher = {std::log(3.0), 0};
  const auto result = row_outcome_of<double>(taid_kl{.interpolation = 0.5}, student, teacher);
  CHECK(result.value == Approx(0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3)).epsilon(1e-14));
  CHECK(result.gradient[0] == Approx(-0.25).epsilon(1e-14));
}

TEST_CASE("taid_kl at 1 is forward_kl to the last bit") {
  for (const std::size_t classes : {2u, 40u, 700u}) {
    const logit_pair logits = independent_logits(6, classes, classes);
    const auto check = [&](auto element, auto... temperatures) {
      using T = decltype(element);
      const guarded_matrix<T> z(6, logits.student), t(6, logits.teacher);
      guarded_matrix<T> a(6, classes), b(6, classes);
      CHECK(taid_kl{temperatures...}(z.view(), t.view(), a.view()) ==
            forward_kl{temperatures...}(z.view(), t.view(), b.view()));
      CHECK(a.bits() == b.bits());
    };
    check(float{});
    check(float{}, 3.0);
    check(double{}, 3.0, 0.5);
    check(bfloat16{}, 2.0);
  }
}

TEST_CASE("taid_kl at 0 is 0 whatever the teacher is") {
  const std::vector<double> student = {0.3, -1, 2, 5, -kInfinity};
  for (const double bad : {1.0, kNan, kInfinity, -kInfinity}) {
    for (const std::size_t classes : {1u, 4u, 5u}) {
      const std::vector<double> row(student.begin(), student.begin() + static_cast<std::ptrdiff_t>(classes));
      const taid_kl loss{.temperature = 2, .teacher_temperature = 0.3, .interpolation = 0};
      for (const auto& result : {row_outcome_of<float>(loss, row, std::vector<double>(classes, bad)),
                                 row_outcome_of<double>(loss, row, std::vector<double>(classes, bad))}) {
        CHECK(result.value == 0);
        CHECK(result.gradient_is(is_zero));
      }
    }
  }
  CHECK(std::isnan(row_outcome_of<float>(taid_kl{.interpolation = 0}, {0, kNan}, {0, 0}).value));
}

TEST_CASE("taid_kl keeps its digits however little the target differs from the student") {
  const logit_pair logits = independent_logits(1, 60, 3);
  for (const double t : {1e-1, 1e-2, 1e-3, 1e-5}) {
    const double in_float =
        std::max(1e-6, 2e-7 / t);  // the value is of second order in t, its terms of first
    const taid_kl loss{.temperature = 2, .interpolation = t};
    check_row<float>(loss, logits.student, logits.teacher, {in_float, 2e-6});
    check_row<double>(loss, logits.student, logits.teacher, {1e-9, 1e-12});
    const taid_kl apart{.temperature = 2, .teacher_temperature = 1, .interpolation = t};
    check_row<float>(apart, logits.student, logits.teacher, {in_float, 2e-6});
  }
}

// The gradient is that of forward KL to a target that does not move; through the target it would be smaller.
TEST_CASE("taid_kl holds the target constant in the gradient") {
  const logit_pair logits = independent_logits(1, 12, 6, 1);
  std::vector<double> target(12);
  for (std::size_t c = 0; c < 12; ++c) target[c] = 0.7 * logits.student[c] + 0.3 * logits.teacher[c];
  const auto got =
      row_outcome_of<double>(taid_kl{.temperature = 2, .interpolation = 0.3}, logits.student, logits.teacher);
  const auto expected = row_outcome_of<double>(forward_kl{.temperature = 2}, logits.student, target);
  CHECK(got.value == Approx(expected.value).epsilon(1e-12));
  for (std::size_t c = 0; c < 12; ++c) CHECK(got.gradient[c] == Approx(expected.gradient[c]).margin(1e-14));
}

TEST_CASE("taid_kl of equal rows is 0") {
  for (const std::size_t classes : {1u, 2u, 33u, 1000u}) {
    const auto row = independent_logits(1, classes, 2).teacher;
    for (const double t : {0.01, 0.4, 0.99}) {
      const taid_kl loss{.temperature = 3, .interpolation = t};
      for (const auto& equal :
           {row_outcome_of<float>(loss, row, row), row_outcome_of<double>(loss, row, row)}) {
        CHECK(equal.value == 0);
        CHECK(equal.gradient_is(is_zero));
      }
    }
  }
}

// The target's largest class is neither's, far below what the maxima suggest.
TEST_CASE("taid_kl of rows that exclude each other's classes") {
  for (const double temperature : {1.0, 0.1, 1e-3}) {
    std::vector<double> student(20, -3), teacher(20, -3);
    student[2] = teacher[5] = 4;
    student[7] = teacher[7] = 1;
    student[5] = teacher[2] = -6;
    const taid_kl loss{.temperature = temperature, .interpolation = 0.5};
    check_row(loss, student, teacher);
    check_row(
        taid_kl{.temperature = temperature, .teacher_temperature = 2 * temperature, .interpolation = 0.5},
        student, teacher);
  }
}

TEST_CASE("taid_kl gives no probability to a class that either masks") {
  const std::vector<double> student = {0.5, 1, -kInfinity, 2, 0.25}, teacher = {1, -kInfinity, 0.5, 1, 3};
  const taid_kl loss{.interpolation = 0.4};
  for (const auto& result :
       {row_outcome_of<float>(loss, student, teacher), row_outcome_of<double>(loss, student, teacher)}) {
    const std::vector<long double> z(student.begin(), student.end()), t(teacher.begin(), teacher.end());
    const auto q = oracle::softmax(z.data(), 5, 1);
    const auto target = oracle::target_of(formula_of(loss.term()), z.data(), t.data(), 5, 0);
    long double expected = 0;
    for (std::size_t c = 0; c < 5; ++c) {
      if (target[c] > 0) expected += target[c] * std::log(target[c] / q[c]);
      CHECK(result.gradient[c] == Approx(static_cast<double>(q[c] - target[c])).margin(1e-6));
    }
    CHECK(result.value == Approx(static_cast<double>(expected)).epsilon(1e-6));
  }
  const auto nothing = row_outcome_of<float>(loss, {0, -kInfinity}, {-kInfinity, 0});
  CHECK(std::isnan(nothing.value));
  CHECK(nothing.gradient_is(is_nan));
  for (const double bad : {kNan, kInfinity}) {
    for (const auto& result :
         {row_outcome_of<float>(loss, {0, bad, 1}, {0, 1, 2}),
          row_outcome_of<double>(loss, {0, 0.5, 1}, {0, bad, 2}), row_outcome_of<float>(loss, {bad}, {1})}) {
      CHECK(std::isnan(result.value));
      CHECK(result.gradient_is(is_nan));
    }
  }
}

TEST_CASE("taid_kl with the schedule's interpolation") {
  const logit_pair logits = independent_logits(1, 10, 6, 1);
  const taid schedule{.start = 0.25, .steps = 10};
  const auto state = schedule.initial();
  const auto got =
      row_outcome_of<double>(taid_kl{.interpolation = state.interpolation}, logits.student, logits.teacher);
  CHECK(got.value ==
        row_outcome_of<double>(taid_kl{.interpolation = 0.25}, logits.student, logits.teacher).value);
  CHECK(got.value <
        row_outcome_of<double>(taid_kl{.interpolation = 0.5}, logits.student, logits.teacher).value);
}

TEST_CASE("taid_kl refuses parameters out of range") {
  CHECK(refusal_of(taid_kl{.interpolation = -0.1}) == "taid_kl: interpolation must be in [0, 1], got -0.1");
  CHECK(refusal_of(taid_kl{.interpolation = kNan}) == "taid_kl: interpolation must be in [0, 1], got nan");
  CHECK(refusal_of(taid_kl{.temperature = 0}) == "taid_kl: temperature must be finite and > 0, got 0");
  CHECK(to_string(taid_kl{.temperature = 2, .interpolation = 0.4}) ==
        "taid_kl{.temperature = 2, .interpolation = 0.4}");
}
