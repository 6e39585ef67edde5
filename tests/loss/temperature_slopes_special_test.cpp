// The slopes by the temperature of rows where a loss takes a way of its own: masked labels, classes that are
// alone, the ends of a parameter's range.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "support/every_target.hpp"
#include "support/temperature_differences.hpp"

using namespace distill;
using namespace support;

namespace slope_tests {
namespace {

constexpr double masked = -std::numeric_limits<double>::infinity();
constexpr std::size_t rows = 6, classes = 7, label = 2;

template <class L>
loss_case labelled(L loss, std::int64_t of_all = label) {
  const auto labels = std::make_shared<const std::vector<std::int64_t>>(rows, of_all);
  loss.labels = *labels;
  loss_case result = case_of(loss);
  result.labels = labels;
  return result;
}

std::vector<loss_case> cases() {
  return {labelled(decoupled_kl{.temperature = 2}),
          labelled(decoupled_kl{.alpha = 0, .temperature = 2}),
          labelled(decoupled_kl{.beta = 0, .temperature = 2, .teacher_temperature = 3}),
          labelled(corrected_kl{.temperature = 2}),
          labelled(corrected_kl{.threshold = 0}),
          labelled(corrected_kl{.threshold = 0.9, .temperature = 3, .teacher_temperature = 0.5}),
          case_of(standardized_kl{.temperature = 0.5}),
          case_of(taid_kl{.temperature = 2, .interpolation = 0}),
          case_of(taid_kl{.temperature = 2, .teacher_temperature = 1.5, .interpolation = 0.01}),
          case_of(taid_kl{.temperature = 2, .teacher_temperature = 1.5, .interpolation = 1})};
}

// Where a value is finite, its slope is the derivative; elsewhere NaN.
void check(const loss_case& loss, const logit_pair& logits) {
  const slope_logits<double> of(logits, layout::compact);
  const slope_logits<float> single(logits, layout::compact);
  const row_options sum{.reduction = reduction::sum};
  const auto values = of.row_values(loss, sum), slopes = of.slopes(loss, sum),
             in_float = single.slopes(loss, sum);
  const auto expected = differences([&](double offset) { return moved_values(of, loss, offset, sum); });
  INFO(loss.name);
  for (std::size_t row = 0; row < logits.rows; ++row) {
    CAPTURE(row, values[row]);
    if (std::isfinite(values[row])) {
      CHECK(slopes[row] == Approx(expected[row]).epsilon(1e-9).margin(1e-9 * (1 + values[row])));
      CHECK(in_float[row] == Approx(slopes[row]).epsilon(2e-5).margin(1e-5 * (1 + values[row])));
    } else {
      CHECK(std::isnan(slopes[row]));
      CHECK(std::isnan(in_float[row]));
    }
  }
}

}  // namespace

TEST_CASE("slopes where the label, or all others, are masked") {
  for (const bool of_teacher : {true, false})
    for (const bool of_student : {true, false}) {
      logit_pair logits = independent_logits(rows, classes, 3, 1.5);
      for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t c = 0; c < classes; ++c) {
          // rows 0, 1: the label; 2, 3: the others; 4: another class; 5: nothing
          const bool hides = row < 2 ? c == label : row < 4 ? c != label : row == 4 && c == 5;
          if (hides && of_teacher) logits.teacher[row * classes + c] = masked;
          if (hides && of_student) logits.student[row * classes + c] = masked;
        }
      on_every_target([&] {
        for (const loss_case& loss : cases()) check(loss, logits);
      });
    }
}

// The label leads by far, by little, and not at all, so that it is lifted or not.
TEST_CASE("slopes of sharp rows") {
  logit_pair logits = independent_logits(rows, classes, 5, 1);
  for (std::size_t row = 0; row < rows; ++row) {
    logits.teacher[row * classes + label] += 6.0 * static_cast<double>(row) - 12;
    logits.student[row * classes + label] -= 5.0 * static_cast<double>(row) - 8;
  }
  on_every_target([&] {
    for (const loss_case& loss : cases()) check(loss, logits);
  });
}

TEST_CASE("slopes of two classes") {
  logit_pair logits = independent_logits(rows, 2, 5, 1.5);
  on_every_target([&] {
    for (const loss_case& loss : {labelled(decoupled_kl{.temperature = 2}, 1), labelled(corrected_kl{}, 1),
                                  case_of(taid_kl{.temperature = 2, .interpolation = 0.3})})
      check(loss, logits);
  });
}

TEST_CASE("an adaptive weight does not move with the temperature") {
  const logit_pair logits = independent_logits(rows, 30, 9, 1.5);
  for (const double head_mass : {0.2, 0.5, 0.9})
    check(case_of(adaptive_kl{.temperature = 2, .teacher_temperature = 1.5, .head_mass = head_mass}), logits);
}

// A term may say taid_kl and stand at the end where it is forward_kl.
TEST_CASE("a target that is the teacher has forward_kl's slope") {
  const slope_logits<double> of(independent_logits(rows, 30, 9, 1.5), layout::compact);
  const loss_case forward = case_of(forward_kl{.temperature = 2, .teacher_temperature = 1.5});
  loss_case target = forward;
  target = in_formula<loss_kind::taid_kl>(target);
  target.terms[0].alpha = 1;
  const auto expected = of.slopes(forward), got = of.slopes(target);
  for (std::size_t row = 0; row < rows; ++row) CHECK(got[row] == Approx(expected[row]).epsilon(1e-12));
}

}  // namespace slope_tests
