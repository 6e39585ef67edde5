// Every message, and that nothing is evaluated before it.
#include <catch2/catch.hpp>
#include <distill/schedule/schedule.hpp>
#include <limits>
#include <string>

using namespace distill;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class S>
std::string message_of(const S& one, std::int64_t step = 0) {
  try {
    one(step);
  } catch (const parameter_error& error) {
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("parameters outside their range") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message_of(constant_schedule{nan}) == "constant_schedule: value must be finite, got nan");
  CHECK(message_of(linear_schedule{.from = kInfinity}) == "linear_schedule: from must be finite, got inf");
  CHECK(message_of(linear_schedule{.to = -kInfinity}) == "linear_schedule: to must be finite, got -inf");
  CHECK(message_of(linear_schedule{.steps = 0}) == "linear_schedule: steps must be >= 1, got 0");
  CHECK(message_of(cosine_schedule{.steps = -3}) == "cosine_schedule: steps must be >= 1, got -3");
  CHECK(message_of(cosine_restarts_schedule{.multiplier = 0}) ==
        "cosine_restarts_schedule: multiplier must be >= 1, got 0");
  CHECK(message_of(cosine_restarts_schedule{.decay = 1.5}) ==
        "cosine_restarts_schedule: decay must be in (0, 1], got 1.5");
  CHECK(message_of(cosine_restarts_schedule{.decay = 0}) ==
        "cosine_restarts_schedule: decay must be in (0, 1], got 0");
  CHECK(message_of(exponential_schedule{.factor = 0}) ==
        "exponential_schedule: factor must be > 0, got 0");
  CHECK(message_of(exponential_schedule{.every = 0}) == "exponential_schedule: every must be >= 1, got 0");
  CHECK(message_of(polynomial_schedule{.power = -1}) ==
        "polynomial_schedule: power must be > 0, got -1");
  CHECK(message_of(piecewise_schedule{}) == "piecewise_schedule: points must be 1 to 16 points, got 0");
  CHECK(message_of(piecewise_schedule{.points = {{3, 1}, {3, 2}}}) ==
        "piecewise_schedule: points must be at steps >= 0 that increase, got 3");
  CHECK(message_of(piecewise_schedule{.points = {{-1, 1}}}) ==
        "piecewise_schedule: points must be at steps >= 0 that increase, got -1");
  CHECK(message_of(piecewise_schedule{.points = {{0, nan}}}) ==
        "piecewise_schedule: points must be at finite values, got nan");
  CHECK(message_of(temperature_ramp{.start = 0}) == "temperature_ramp: start must be > 0, got 0");
  CHECK(message_of(temperature_ramp{.first = -1}) ==
        "temperature_ramp: first must be >= 0, got -1");
  CHECK(message_of(temperature_ramp{.increment = -0.1}) ==
        "temperature_ramp: increment must be of the sign of stop - start, got -0.1");
  CHECK(message_of(temperature_ramp{.increment = 0}) ==
        "temperature_ramp: increment must be of the sign of stop - start, got 0");
  CHECK(message_of(warm_up<constant_schedule>{.steps = 0}) == "warm_up: steps must be >= 1, got 0");
  CHECK(message_of(warm_up<constant_schedule>{.from = nan}) == "warm_up: from must be finite, got nan");
  CHECK(message_of(clamped<constant_schedule>{.low = 2, .high = 1}) == "clamped: high must be >= low, got 1");
  CHECK(message_of(clamped<constant_schedule>{.low = nan}) == "clamped: high must be >= low, got inf");
}

TEST_CASE("a negative step") {
  CHECK(message_of(constant_schedule{}, -1) == "constant_schedule: step must be >= 0, got -1");
  CHECK(message_of(linear_schedule{}, -1) == "linear_schedule: step must be >= 0, got -1");
  CHECK(message_of(cosine_schedule{}, -1) == "cosine_schedule: step must be >= 0, got -1");
  CHECK(message_of(cosine_restarts_schedule{}, -1) == "cosine_restarts_schedule: step must be >= 0, got -1");
  CHECK(message_of(exponential_schedule{}, -1) == "exponential_schedule: step must be >= 0, got -1");
  CHECK(message_of(polynomial_schedule{}, -1) == "polynomial_schedule: step must be >= 0, got -1");
  CHECK(message_of(piecewise_schedule{.points = {{0, 1}}}, -1) ==
        "piecewise_schedule: step must be >= 0, got -1");
  CHECK(message_of(temperature_ramp{}, -1) == "temperature_ramp: step must be >= 0, got -1");
  CHECK(message_of(warm_up<constant_schedule>{}, -1) == "warm_up: step must be >= 0, got -1");
  CHECK(message_of(schedule(3), -1) == "constant_schedule: step must be >= 0, got -1");
}

TEST_CASE("a schedule is checked when it is made") {
  CHECK_THROWS_WITH(schedule(linear_schedule{.steps = 0}), "linear_schedule: steps must be >= 1, got 0");
  CHECK_THROWS_WITH(schedule(warm_up<constant_schedule>{.steps = 0}), "warm_up: steps must be >= 1, got 0");
  CHECK_THROWS_WITH(schedule(clamped<constant_schedule>{.low = 2, .high = 1}),
                    "clamped: high must be >= low, got 1");
  CHECK_THROWS_WITH(schedule(kInfinity), "constant_schedule: value must be finite, got inf");
  schedule nested = 1;
  for (int i = 0; i < 4; ++i) nested = clamped<schedule>{.of = nested, .low = 0};
  CHECK_THROWS_WITH(schedule(clamped<schedule>{.of = nested}),
                    "schedule: holds at most 4 warm_up and clamped around each other");
  schedule_points points;
  for (int i = 0; i < 16; ++i) points.push_back({i, 0});
  CHECK_THROWS_WITH(points.push_back({16, 0}), "schedule_points: holds at most 16 points");
}
