// What rows are to a correlation: weights, temperatures, reductions, and slopes by the temperature.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/correlation.hpp>
#include <limits>
#include <vector>

#include "loss/correlation_oracle.hpp"
#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace correlation_tests {

using namespace distill;
using namespace support;

namespace {

constexpr std::size_t rows = 7, classes = 19;

// A row that is masked, with NaN in it.
struct weighted_batch {
  std::vector<float> weights = {1, 0.25f, 0, 3, 2, 0.5f, 1};
  std::vector<float> temperatures = {1, 2, std::numeric_limits<float>::quiet_NaN(), 4, 1.5f, 0.75f, 3};
  std::vector<float> teacher_temperatures = {2, 1, 0, 0.5f, 3, 1, 1.25f};
  logit_pair logits = independent_logits(rows, classes, 11, 1.5);

  weighted_batch() {
    for (std::size_t c = 0; c < classes; ++c)
      logits.student[2 * classes + c] = logits.teacher[2 * classes + c] =
          std::numeric_limits<double>::quiet_NaN();
  }
  // All that an oracle should never be asked about.
  batch_correlation seen(const correlation& loss) const {
    batch_correlation result{.temperature_squared = loss.temperature_squared,
                             .beta = static_cast<real>(loss.beta),
                             .gamma = static_cast<real>(loss.gamma)};
    const row_temperature teacher = loss.teacher_temperature.value_or(loss.temperature);
    for (std::size_t row = 0; row < rows; ++row) {
      result.weights.push_back(weights[row]);
      result.temperatures.push_back(loss.temperature[row]);
      result.teacher_temperatures.push_back(teacher[row]);
    }
    return result;
  }
  std::vector<correlation> losses() const {
    return {
        correlation{.temperature = 2},
        correlation{.temperature = 2, .teacher_temperature = 3, .beta = 0.5, .gamma = 2},
        correlation{.temperature = temperatures},
        correlation{.temperature = temperatures, .teacher_temperature = teacher_temperatures, .gamma = 3},
        correlation{.temperature = 3, .teacher_temperature = teacher_temperatures, .beta = 0},
        correlation{.temperature = temperatures, .temperature_squared = false},
        correlation{.temperature = temperatures, .teacher_temperature = teacher_temperatures, .gamma = 0}};
  }
};

template <class T>
void check_rows(const weighted_batch& b, double value_error, double gradient_error, double slope_error) {
  for (const layout how : {layout::compact, layout::every_third}) {
    const guarded_matrix<T> student(rows, b.logits.student, how), teacher(rows, b.logits.teacher, how);
    for (const correlation& loss : b.losses()) {
      guarded_matrix<T> gradient(rows, classes, how, 1);
      std::vector<double> values(rows, 77), slopes(rows, 77);
      const batch_correlation seen = b.seen(loss);
      constexpr real counted = rows - 1;
      const double value =
          loss(student.view(), teacher.view(), gradient.view(),
               {.row_weights = b.weights, .row_values = values, .temperature_slopes = slopes});
      CHECK(relative(value, expected_sum(seen, student.exact(), teacher.exact()) / counted) < value_error);
      CHECK(relative(gradient.exact(), expected_gradient(seen, student.exact(), teacher.exact(), counted)) <
            gradient_error);
      CHECK(gradient.is_intact());
      const auto expected = expected_rows(seen, student.exact(), teacher.exact());
      const auto expected_slope = expected_slopes(seen, student.exact(), teacher.exact(), counted);
      double largest = 0;
      for (const real slope : expected_slope)
        largest = std::max(largest, static_cast<double>(std::abs(slope)));
      for (std::size_t row = 0; row < rows; ++row) {
        CAPTURE(row);
        CHECK(values[row] ==
              Approx(static_cast<double>(expected[row])).epsilon(value_error).margin(value_error));
        CHECK(slopes[row] ==
              Approx(static_cast<double>(expected_slope[row])).epsilon(0).margin(slope_error * largest));
      }
      // The slopes take nothing away from value and gradient.
      guarded_matrix<T> alone(rows, classes, how, 1);
      CHECK(loss(student.view(), teacher.view(), alone.view(), {.row_weights = b.weights}) == value);
      CHECK(alone.bits() == gradient.bits());
    }
  }
}

}  // namespace

TEST_CASE("weights, temperatures of rows and their slopes, in double") {
  check_rows<double>(weighted_batch(), 1e-11, 1e-11, 1e-10);
}

TEST_CASE("weights, temperatures of rows and their slopes, in float on every target") {
  on_every_target([] { check_rows<float>(weighted_batch(), 2e-6, 2e-5, 2e-5); });
}

TEST_CASE("a row of weight 2 is a row that is there twice") {
  logit_pair once = independent_logits(4, 9, 3, 1.5), twice = once;
  twice.rows = 5;
  for (std::vector<double>* side : {&twice.student, &twice.teacher})
    side->insert(side->end(), side->end() - 9, side->end());
  const std::vector<float> weights = {1, 1, 1, 2};
  const guarded_matrix<double> student(4, once.student), teacher(4, once.teacher),
      long_student(5, twice.student), long_teacher(5, twice.teacher);
  guarded_matrix<double> gradient(4, 9), long_gradient(5, 9);
  const correlation loss{.temperature = 2, .beta = 0.5};
  const double weighted = loss(student.view(), teacher.view(), gradient.view(),
                               {.reduction = reduction::sum, .row_weights = weights});
  const double repeated =
      loss(long_student.view(), long_teacher.view(), long_gradient.view(), {.reduction = reduction::sum});
  CHECK(weighted == Approx(repeated).epsilon(1e-13));
  for (std::size_t c = 0; c < 9; ++c) {
    CHECK(gradient.at(0, c) == Approx(long_gradient.at(0, c)).margin(1e-13));
    CHECK(gradient.at(3, c) == Approx(2 * long_gradient.at(3, c)).margin(1e-13));
  }
}

TEST_CASE("weights of 1 and equal temperatures give the bits of none and of one") {
  const logit_pair logits = independent_logits(rows, 40, 3);
  const guarded_matrix<float> student(rows, logits.student), teacher(rows, logits.teacher);
  guarded_matrix<float> plain(rows, 40), other(rows, 40);
  const std::vector<float> ones(rows, 1.0f), threes(rows, 3.0f), halves(rows, 0.5f);
  const correlation one{.temperature = 3, .teacher_temperature = 0.5, .gamma = 2},
      each{.temperature = threes, .teacher_temperature = halves, .gamma = 2};
  std::vector<double> slopes(rows), other_slopes(rows);
  const double value = one(student.view(), teacher.view(), plain.view(), {.temperature_slopes = slopes});
  CHECK(each(student.view(), teacher.view(), other.view(),
             {.row_weights = ones, .temperature_slopes = other_slopes}) == value);
  CHECK(other.bits() == plain.bits());
  CHECK(other_slopes == slopes);
}

TEST_CASE("reductions of a correlation") {
  const logit_pair logits = independent_logits(rows, classes, 3, 1.5);
  const guarded_matrix<double> student(rows, logits.student), teacher(rows, logits.teacher);
  const weighted_batch b;
  guarded_matrix<double> mean_gradient(rows, classes), gradient(rows, classes);
  const correlation loss{.temperature = 2};
  std::vector<double> mean_slopes(rows), slopes(rows);
  const double mean = loss(student.view(), teacher.view(), mean_gradient.view(),
                           {.row_weights = b.weights, .temperature_slopes = mean_slopes});
  const auto scaled = [&](row_options how, double factor) {
    how.row_weights = b.weights;
    how.temperature_slopes = slopes;
    CHECK(loss(student.view(), teacher.view(), gradient.view(), how) == Approx(factor * mean).epsilon(1e-13));
    for (std::size_t row = 0; row < rows; ++row) {
      CHECK(slopes[row] == Approx(factor * mean_slopes[row]).epsilon(1e-12));
      for (std::size_t c = 0; c < classes; ++c)
        CHECK(gradient.at(row, c) == Approx(factor * mean_gradient.at(row, c)).epsilon(1e-12));
    }
  };
  scaled({.reduction = reduction::sum}, 6);
  scaled({.reduction = reduction::mean}, 1.0 / classes);
  scaled({.denominator = 12}, 0.5);
  // Rows that are not coupled have values and gradients of their own.
  const correlation alone{.temperature = 2, .gamma = 0};
  const std::vector<float> signs = {1, -2, 0, 1, 1, 1, -1};
  std::vector<double> values(rows);
  const double sum = alone(student.view(), teacher.view(), gradient.view(),
                           {.reduction = reduction::none, .row_weights = signs, .row_values = values});
  double total = 0;
  for (const double value : values) total += value;
  CHECK(sum == Approx(total).epsilon(1e-13));
  CHECK(values[1] < 0);
  CHECK(values[2] == 0);
}

// Each temperature of a row moves the classes' part of all.
TEST_CASE("slopes of a correlation in the gradient's place, by any executor, with a masked row") {
  const logit_pair logits = independent_logits(60, 30, 3);
  guarded_matrix<float> student(60, logits.student);
  const guarded_matrix<float> teacher(60, logits.teacher);
  std::vector<float> weights(60, 0.5f);
  weights[7] = 0;
  std::vector<double> expected(60), slopes(60);
  const correlation loss{.temperature = 2};
  (void)loss(student.view(), teacher.view(), no_gradient,
             {.row_weights = weights, .temperature_slopes = expected});
  CHECK(expected[7] == 0);
  for (const std::size_t block : {1u, 5u, 16u}) {
    block_executor executor(3, block);
    (void)loss(student.view(), teacher.view(), no_gradient,
               {.row_weights = weights, .temperature_slopes = slopes, .executor = executor});
    CHECK(slopes == expected);
    CHECK(executor.calls() == 3);
  }
  (void)loss(student.view(), teacher.view(), student.view(),
             {.row_weights = weights, .temperature_slopes = slopes});
  CHECK(slopes == expected);
  const std::vector<float> none(60, 0.0f);
  CHECK(loss(teacher.view(), teacher.view(), no_gradient,
             {.row_weights = none, .row_values = slopes, .temperature_slopes = expected}) == 0);
  CHECK(expected == std::vector<double>(60, 0.0));
  CHECK(slopes == std::vector<double>(60, 0.0));
}

TEST_CASE("slopes of a correlation where it is 0, masked or not a number") {
  logit_pair logits = independent_logits(4, 5, 3);
  logits.student[2] = logits.teacher[2] = -std::numeric_limits<double>::infinity();
  const guarded_matrix<float> both(4, logits.teacher), student(4, logits.student);
  std::vector<double> slopes(4, 77);
  CHECK(correlation{.temperature = 2}(both.view(), both.view(), no_gradient,
                                      {.temperature_slopes = slopes}) == 0);
  CHECK(slopes == std::vector<double>(4, 0.0));
  (void)correlation{}(student.view(), both.view(), no_gradient, {.temperature_slopes = slopes});
  for (const double slope : slopes) CHECK(std::isfinite(slope));
  logits.student[2] = std::numeric_limits<double>::quiet_NaN();
  const guarded_matrix<float> spoiled(4, logits.student);
  (void)correlation{}(spoiled.view(), both.view(), no_gradient, {.temperature_slopes = slopes});
  for (const double slope : slopes) CHECK(std::isnan(slope));
  (void)correlation{.gamma = 0}(spoiled.view(), both.view(), no_gradient, {.temperature_slopes = slopes});
  CHECK(std::isnan(slopes[0]));
  CHECK(std::isfinite(slopes[1]));
}

}  // namespace correlation_tests
