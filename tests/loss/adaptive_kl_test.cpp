#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/adaptive_kl.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/one_row.hpp"
#include "support/oracle_row.hpp"
#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"
#include "support/special_values.hpp"

using namespace distill;
using namespace support;

namespace {

// From the definition, with the head given by the classes that are in it.
double value_with_head(const std::vector<double>& student, const std::vector<double>& teacher,
                       const std::vector<std::size_t>& classes) {
  const std::vector<long double> z(student.begin(), student.end()), t(teacher.begin(), teacher.end());
  const auto q = oracle::softmax(z.data(), z.size(), 1), p = oracle::softmax(t.data(), t.size(), 1);
  long double head = 0, all = 0, forward = 0, reverse = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    all += std::abs(p[i] - q[i]);
    forward += p[i] * std::log(p[i] / q[i]);
    reverse += q[i] * std::log(q[i] / p[i]);
  }
  for (const std::size_t i : classes) head += std::abs(p[i] - q[i]);
  return static_cast<double>((head * forward + (all - head) * reverse) / all);
}

// In float and in double.
void check_head(const adaptive_kl& loss, const std::vector<double>& student,
                const std::vector<double>& teacher, const std::vector<std::size_t>& classes) {
  const double expected = value_with_head(student, teacher, classes);
  CHECK(row_outcome_of<float>(loss, student, teacher).value == Approx(expected).epsilon(1e-6));
  CHECK(row_outcome_of<double>(loss, student, teacher).value == Approx(expected).epsilon(1e-12));
}

}  // namespace

TEST_CASE("adaptive_kl against the oracle") {
  check_against_oracle(maker_of(adaptive_kl{}));
  check_against_oracle(maker_of(adaptive_kl{.temperature = 4, .head_mass = 0.95}));
  check_against_oracle(maker_of(adaptive_kl{
      .temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false, .head_mass = 0.1}));
}

// A head taken in sorted order and applied in the order of the vocabulary would be classes 0 and 1.
TEST_CASE("adaptive_kl's head is the teacher's most probable classes wherever they stand") {
  const std::vector<double> teacher = {0, -1, 2.5, -2, 2, 0.5, -0.5}, student = {1, 0, 0.5, 1, -1, 0.25, 0};
  check_head({.head_mass = 0.3}, student, teacher, {2});
  check_head({.head_mass = 0.6}, student, teacher, {2, 4});
  check_head({.head_mass = 0.93}, student, teacher, {2, 4, 5, 0});
  check_head({.head_mass = 0.999999}, student, teacher, {0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("adaptive_kl takes the first of equally probable classes, and no more than it needs") {
  const std::vector<double> student = {1, 0, 0.5, -1};
  check_head({.head_mass = 0.5}, student, {0, 0, 0, 0}, {0, 1});
  check_head({.head_mass = 0.51}, student, {0, 0, 0, 0}, {0, 1, 2});
  check_head({.head_mass = 0.25}, student, {0, 0, 0, 0}, {0});
  check_head({.head_mass = 0.45}, student, {-1, 1, -1, 1}, {1, 3});
  check_head({.head_mass = 0.4}, student, {-1, 1, -1, 1}, {1});
  // More than are ranked one by one: all equal, and two levels.
  for (const std::size_t classes : {64u, 100u, 1000u}) {
    std::vector<double> flat(classes, 0.25), other = independent_logits(1, classes, 1).student,
                                             levels(classes, 0);
    std::vector<std::size_t> first_half, top;
    for (std::size_t i = 0; i < classes; ++i) {
      if (i < classes / 2) first_half.push_back(i);
      if (i % 2 == 1) levels[i] = std::log(3.0);
      if (i % 2 == 1 && top.size() < classes / 4) top.push_back(i);
    }
    check_head({.head_mass = 0.4999}, other, flat, first_half);
    // The odd classes hold 3/4 of the mass: half of them 3/8.
    check_head({.head_mass = 0.3749}, other, levels, top);
  }
}

TEST_CASE("adaptive_kl of teachers from flat to certain against the oracle") {
  for (const double deviation : {1e-3, 0.1, 1.0, 8.0, 40.0})
    for (const std::size_t classes : {50u, 1000u, 20000u})
      for (const double mass : {0.02, 0.5, 0.97}) {
        const auto teacher = independent_logits(1, classes, classes, deviation).teacher;
        const auto student = independent_logits(1, classes, 7 * classes, 1).student;
        check_row<float>(adaptive_kl{.head_mass = mass}, student, teacher, {1e-6, 2e-5});
        check_row<double>(adaptive_kl{.head_mass = mass}, student, teacher, {1e-12, 1e-11});
      }
}

// Otherwise the gradient would also lower the weight of the larger divergence.
TEST_CASE("adaptive_kl holds its weights constant in the gradient") {
  const logit_pair logits = independent_logits(1, 20, 8, 1.5);
  const adaptive_kl loss{.temperature = 2, .head_mass = 0.6};
  const std::vector<long double> z(logits.student.begin(), logits.student.end()),
      t(logits.teacher.begin(), logits.teacher.end());
  const double head =
      static_cast<double>(oracle::head_weight(formula_of(loss.term()), z.data(), t.data(), 20));
  REQUIRE(head > 0.05);
  REQUIRE(head < 0.95);
  const auto got = row_outcome_of<double>(loss, logits.student, logits.teacher);
  const auto sum = head * forward_kl{.temperature = 2} + (1 - head) * reverse_kl{.temperature = 2};
  const auto expected = row_outcome_of<double>(sum, logits.student, logits.teacher);
  CHECK(got.value == Approx(expected.value).epsilon(1e-12));
  for (std::size_t c = 0; c < 20; ++c) CHECK(got.gradient[c] == Approx(expected.gradient[c]).margin(1e-13));
}

TEST_CASE("adaptive_kl of equal rows, of one class, and of masked logits") {
  for (const std::size_t classes : {1u, 5u, 100u}) {
    const auto row = independent_logits(1, classes, 2).teacher;
    const auto equal = row_outcome_of<float>(adaptive_kl{}, row, row);
    CHECK(equal.value == 0);
    CHECK(equal.gradient_is(is_zero));
  }
  const auto one = row_outcome_of<float>(adaptive_kl{.teacher_temperature = 3}, {4}, {-1});
  CHECK(one.value == 0);
  CHECK(one.gradient_is(is_zero));
  const std::vector<double> student = {0.5, 1, -1, 2}, teacher = {1, -0.5, 0.25, 1};
  std::vector<double> masked = student;
  masked[2] = -kInfinity;
  CHECK(row_outcome_of<float>(adaptive_kl{}, masked, teacher).value == kInfinity);
  CHECK(row_outcome_of<float>(adaptive_kl{}, teacher, masked).value == kInfinity);
  std::vector<double> also = teacher;
  also[2] = -kInfinity;
  const auto both = row_outcome_of<float>(adaptive_kl{}, masked, also),
             fewer = row_outcome_of<float>(adaptive_kl{}, {0.5, 1, 2}, {1, -0.5, 1});
  CHECK(both.value == Approx(fewer.value).epsilon(1e-6));
  CHECK(both.gradient[2] == 0);
  for (const double bad : {kNan, kInfinity}) {
    std::vector<double> spoiled = student;
    spoiled[1] = bad;
    for (const auto& result : {row_outcome_of<float>(adaptive_kl{}, spoiled, teacher),
                               row_outcome_of<double>(adaptive_kl{}, teacher, spoiled)}) {
      CHECK(std::isnan(result.value));
      CHECK(result.gradient_is(is_nan));
    }
  }
}

TEST_CASE("adaptive_kl refuses parameters out of range") {
  CHECK(refusal_of(adaptive_kl{.head_mass = 0}) == "adaptive_kl: head_mass must be in (0, 1), got 0");
  CHECK(refusal_of(adaptive_kl{.head_mass = 1}) == "adaptive_kl: head_mass must be in (0, 1), got 1");
  CHECK(refusal_of(adaptive_kl{.temperature = -2}) ==
        "adaptive_kl: temperature must be finite and > 0, got -2");
  CHECK(to_string(adaptive_kl{.temperature = 2}) == "adaptive_kl{.temperature = 2, .head_mass = 0.5}");
}
