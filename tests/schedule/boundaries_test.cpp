// Where a schedule begins, ends and changes: the steps next to every boundary its comment states.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <distill/schedule/schedule.hpp>
#include <limits>
#include <vector>

using namespace distill;

namespace {

constexpr std::int64_t kLastStep = std::numeric_limits<std::int64_t>::max();

template <class S>
std::vector<double> first_values(const S& one, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t step = 0; step < count; ++step) values.push_back(one(step));
  return values;
}

}  // namespace

TEST_CASE("the ends are exact") {
  const auto check = [](auto one) {
    one.from = 0.3;
    one.to = 0.1;
    for (const std::int64_t steps : {1, 2, 3, 1000, 1'000'000'007}) {
      one.steps = steps;
      CHECK(one(0) == 0.3);
      CHECK(one(steps) == 0.1);
      CHECK(one(steps + 1) == 0.1);
      CHECK(one(kLastStep) == 0.1);
      if (steps > 1 && steps <= 1000) CHECK(one(steps - 1) != 0.1);
      if (steps > 1 && steps <= 1000) CHECK(one(1) != 0.3);
    }
    one.steps = kLastStep;
    CHECK(one(0) == 0.3);
    CHECK(one(kLastStep) == 0.1);
  };
  check(linear_schedule{});
  check(cosine_schedule{});
  check(polynomial_schedule{.power = 0.7});
}

TEST_CASE("cosine: oscillating") {
  const cosine_schedule one{.from = 4, .to = 2, .steps = 4, .oscillates = true};
  CHECK(one(4) == 2);
  CHECK(one(8) == 4);
  CHECK(one(12) == 2);
  CHECK(one(5) == one(3));
  CHECK(one(7) == one(1));
  CHECK(one(9) == one(1));
}

TEST_CASE("cosine_restarts: a cycle's first step has its peak") {
  const cosine_restarts_schedule equal{.from = 1, .to = 0, .steps = 3};
  CHECK(equal(0) == 1);
  CHECK(equal(2) == Approx(0.25).epsilon(1e-15));
  CHECK(equal(3) == 1);
  CHECK(equal(3'000'000) == 1);
  const cosine_restarts_schedule longer{.from = 1, .to = 0, .steps = 3, .multiplier = 2, .decay = 0.5};
  CHECK(longer(0) == 1);
  CHECK(longer(3) == 0.5);   // 3 long, then 6
  CHECK(longer(9) == 0.25);  // then 12
  CHECK(longer(21) == 0.125);
  CHECK(longer(8) < 0.04);
  CHECK(longer(20) < 0.01);
  CHECK(std::isfinite(longer(kLastStep)));
  const cosine_restarts_schedule huge{.from = 1, .to = 0, .steps = kLastStep / 2, .multiplier = kLastStep};
  CHECK(huge(kLastStep / 2) == 1);
  CHECK(huge(kLastStep) == Approx(1));
}

TEST_CASE("exponential: smooth and in stairs") {
  CHECK(first_values(exponential_schedule{.from = 8, .factor = 0.5, .every = 2, .staircase = true}, 5) ==
        std::vector<double>{8, 8, 4, 4, 2});
  const exponential_schedule smooth{.from = 8, .factor = 0.5, .every = 2};
  CHECK(smooth(0) == 8);
  CHECK(smooth(1) == Approx(8 / std::sqrt(2.0)));
  CHECK(smooth(2) == 4);
  CHECK(smooth(kLastStep) == 0);
  CHECK(exponential_schedule{.from = 0, .factor = 2}(kLastStep) == 0);
}

TEST_CASE("piecewise: held and joined") {
  const schedule_points points = {{2, 5}, {4, 3}, {5, 1}};
  CHECK(first_values(piecewise_schedule{.points = points}, 8) == std::vector<double>{5, 5, 5, 5, 3, 1, 1, 1});
  CHECK(first_values(piecewise_schedule{.points = points, .interpolates = true}, 8) ==
        std::vector<double>{5, 5, 5, 4, 3, 1, 1, 1});
  CHECK(piecewise_schedule{.points = {{0, 7}}}(kLastStep) == 7);
  schedule_points full;
  for (int i = 0; i < 16; ++i) full.push_back({i, static_cast<double>(i)});
  CHECK(piecewise_schedule{.points = full}(15) == 15);
}

TEST_CASE("temperature_ramp: start at 5, from epoch 6 on add 0.1, stop at 8") {
  const temperature_ramp ramp;
  for (std::int64_t epoch = 0; epoch < 6; ++epoch) CHECK(ramp(epoch) == 5);
  CHECK(ramp(6) == 5.1);
  CHECK(ramp(7) == Approx(5.2).epsilon(1e-15));
  CHECK(ramp(34) == Approx(7.9).epsilon(1e-15));
  CHECK(ramp(35) == 8);
  CHECK(ramp(36) == 8);
  CHECK(ramp(kLastStep) == 8);
  const temperature_ramp falling{.start = 4, .first = 0, .increment = -1.5, .stop = 2};
  CHECK(first_values(falling, 3) == std::vector<double>{2.5, 2, 2});
  CHECK(temperature_ramp{.start = 3, .increment = 0, .stop = 3}(9) == 3);
}

TEST_CASE("warm_up: the other schedule starts where it ends") {
  const warm_up<linear_schedule> one{.then = {.from = 4, .to = 2, .steps = 2}, .steps = 4, .from = 2};
  CHECK(first_values(one, 8) == std::vector<double>{2, 2.5, 3, 3.5, 4, 3, 2, 2});
}

TEST_CASE("clamped: both limits, and none") {
  const linear_schedule line{.from = 0, .to = 4, .steps = 4};
  CHECK(first_values(clamped<linear_schedule>{.of = line, .low = 1, .high = 3}, 5) ==
        std::vector<double>{1, 1, 2, 3, 3});
  CHECK(first_values(clamped<linear_schedule>{.of = line, .low = 1}, 5) ==
        std::vector<double>{1, 1, 2, 3, 4});
  CHECK(first_values(clamped<linear_schedule>{.of = line, .high = 3}, 5) ==
        std::vector<double>{0, 1, 2, 3, 3});
  CHECK(first_values(clamped<linear_schedule>{.of = line}, 5) == first_values(line, 5));
}
