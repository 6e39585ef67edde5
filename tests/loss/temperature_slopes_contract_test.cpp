// What temperature_slopes refuses, what it leaves alone, and a temperature learned with it.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/error/error.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/divergence.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/objective.hpp>
#include <distill/schedule/ctkd.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/loss_cases.hpp"
#include "support/random_logits.hpp"

using namespace distill;

namespace {

// A user's divergence that has a value and a slope only.
struct squared_difference {
  template <class T>
  T value(T p, T q) const {
    return (p - q) * (p - q);
  }
  template <class T>
  T slope(T p, T q) const {
    return 2 * (q - p);
  }
};

// A good batch of 4 x 3, to be spoiled in one place.
struct slope_batch {
  std::vector<float> student = {0, 3, 1, -2, 5, 1, 4, 1, -3, 0, 2, 2},
                     teacher = std::vector<float>(12, 0.25f);
  std::vector<float> gradient = std::vector<float>(12, 7.0f);
  std::vector<double> slopes = std::vector<double>(4, 7.0), values = std::vector<double>(4, 7.0);
  matrix_view<float> z{student.data(), 4, 3}, t{teacher.data(), 4, 3}, g{gradient.data(), 4, 3};
};

template <class Error, class L>
void refuses_slope(const L& loss, const std::string& message) {
  slope_batch b;
  std::string got = "no exception";
  try {
    (void)loss(b.z, b.t, b.g, {.row_values = b.values, .temperature_slopes = b.slopes});
  } catch (const Error& error) {
    got = error.what();
  }
  CHECK(got == message);
  CHECK(b.gradient == std::vector<float>(12, 7.0f));
  CHECK(b.values == std::vector<double>(4, 7.0));
  CHECK(b.slopes == std::vector<double>(4, 7.0));
}

}  // namespace

TEST_CASE("a divergence without teacher_slope has no temperature slope") {
  refuses_slope<parameter_error>(
      divergence<squared_difference>{},
      "divergence: has no slope by the temperature without teacher_slope(p, q), so "
      "temperature_slopes must be empty");
  refuses_slope<parameter_error>(
      forward_kl{} + divergence<squared_difference>{},
      "divergence: has no slope by the temperature without teacher_slope(p, q), so "
      "temperature_slopes must be empty");
  slope_batch b;
  CHECK_NOTHROW(divergence<squared_difference>{}(b.z, b.t, b.g));
}

// A kind that does not list itself has none, whatever its formula.
TEST_CASE("a loss that does not know its slope is refused by its name") {
  loss_term term = forward_kl{}.term();
  term.name = "new_loss";
  CHECK(term.has_temperature_slope());
  term.kind = static_cast<loss_kind>(1000);
  CHECK(term.moves_with_temperature());
  CHECK_FALSE(term.has_temperature_slope());
  slope_batch b;
  CHECK_THROWS_WITH(
      evaluate("new_loss", std::span(&term, 1), b.z, b.t, b.g, {.temperature_slopes = b.slopes}),
      "new_loss: has no slope by the temperature, so temperature_slopes must be empty");
  CHECK(b.slopes == std::vector<double>(4, 7.0));
}

TEST_CASE("slopes of the wrong number, or in the gradient's memory") {
  slope_batch b;
  std::vector<double> five(5, 7.0), memory(12, 7.0);
  CHECK_THROWS_WITH(forward_kl{}(b.z, b.t, b.g, {.temperature_slopes = five}),
                    "forward_kl: temperature_slopes has 5 entries, student has 4 rows");
  CHECK(five == std::vector<double>(5, 7.0));
  const std::vector<double> z(12), t(12);
  CHECK_THROWS_WITH(
      forward_kl{}(matrix_view(z.data(), 4, 3), matrix_view(t.data(), 4, 3), matrix_view(memory.data(), 4, 3),
                   {.temperature_slopes = {memory.data() + 2, 4}}),
      "forward_kl: gradient overlaps temperature_slopes");
  CHECK(memory == std::vector<double>(12, 7.0));
}

TEST_CASE("slopes may be strided") {
  slope_batch b;
  std::vector<double> compact(4), apart(8, 7.0);
  (void)forward_kl{.temperature = 2}(b.z, b.t, no_gradient, {.temperature_slopes = compact});
  (void)forward_kl{.temperature = 2}(b.z, b.t, no_gradient, {.temperature_slopes = {apart.data(), 4, 2}});
  for (std::size_t row = 0; row < 4; ++row) {
    CHECK(apart[2 * row] == compact[row]);
    CHECK(apart[2 * row + 1] == 7);
  }
}

TEST_CASE("losses without a teacher's temperature have slope 0") {
  slope_batch b;
  const std::vector<int> labels = {0, 1, 2, 0};
  (void)cross_entropy{.labels = labels, .temperature = 2}(b.z, b.t, b.g, {.temperature_slopes = b.slopes});
  CHECK(b.slopes == std::vector<double>(4, 0.0));
  b.slopes.assign(4, 7.0);
  (void)logit_mse{}(b.z, b.t, b.g, {.temperature_slopes = b.slopes});
  CHECK(b.slopes == std::vector<double>(4, 0.0));
  std::vector<double> alone(4), with(4);
  (void)forward_kl{.temperature = 2}(b.z, b.t, b.g, {.temperature_slopes = alone});
  (void)(forward_kl{.temperature = 2} + cross_entropy{.labels = labels, .temperature = 2})(
      b.z, b.t, b.g, {.temperature_slopes = with});
  CHECK(with == alone);
}

TEST_CASE("masked rows are not read and have slope 0") {
  slope_batch b;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> mask = {1, 0, 1, 0};
  std::vector<double> good(4);
  (void)forward_kl{.temperature = 2}(b.z, b.t, no_gradient,
                                     {.row_weights = mask, .temperature_slopes = good});
  for (const std::size_t i : {3u, 4u, 5u, 9u, 10u, 11u}) b.student[i] = b.teacher[i] = nan;
  (void)forward_kl{.temperature = 2}(b.z, b.t, b.g, {.row_weights = mask, .temperature_slopes = b.slopes});
  CHECK(b.slopes == good);
  CHECK(b.slopes[1] == 0);
  CHECK(b.slopes[3] == 0);
  CHECK(b.slopes[0] != 0);
  const std::vector<float> none(4, 0.0f);
  (void)forward_kl{}(b.z, b.t, b.g, {.row_weights = none, .temperature_slopes = b.slopes});
  CHECK(b.slopes == std::vector<double>(4, 0.0));
  b.student[0] = nan;
  (void)forward_kl{}(b.z, b.t, b.g, {.row_weights = mask, .temperature_slopes = b.slopes});
  CHECK(std::isnan(b.slopes[0]));
  CHECK(std::isfinite(b.slopes[2]));
}

// Student and teacher stay as they are: the temperature alone moves, up the loss.
TEST_CASE("a curriculum temperature climbs the loss") {
  constexpr std::size_t rows = 64, classes = 30;
  const support::logit_pair logits = support::independent_logits(rows, classes, 7);
  const matrix_view z(logits.student.data(), rows, classes), t(logits.teacher.data(), rows, classes);
  for (const bool squared : {false, true})
    for (const double start : {-4.0, 2.0}) {
      const ctkd curriculum{.epochs = 5};
      ctkd_state state{.parameter = start};
      std::vector<double> slopes(rows);
      const auto loss_at = [&](double temperature, const row_options& options = {}) {
        return forward_kl{.temperature = temperature, .temperature_squared = squared}(z, t, no_gradient,
                                                                                      options);
      };
      const double before = loss_at(curriculum.temperature(state));
      double previous = before;
      for (state.epoch = 0; state.epoch < 10; ++state.epoch) {
        const double now = loss_at(curriculum.temperature(state), {.temperature_slopes = slopes});
        CHECK(now >= previous);
        previous = now;
        double slope = 0;
        for (const double of_row : slopes) slope += of_row;
        const ctkd_state next = curriculum.advance(state, slope, 0.02);
        if (state.epoch == 0) CHECK(next == state);  // λ is 0
        if (state.epoch > 0) CHECK((next.parameter - state.parameter) * slope > 0);
        state = next;
      }
      CHECK(loss_at(curriculum.temperature(state)) > before);
    }
}
