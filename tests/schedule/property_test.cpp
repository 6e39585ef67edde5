#include <rapidcheck/catch.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <distill/schedule/schedule.hpp>
#include <limits>
#include <vector>

using namespace distill;

namespace {

double arbitrary_value() { return *rc::gen::inRange(-100000, 100001) / 1000.0; }
std::int64_t arbitrary_steps() { return *rc::gen::inRange<std::int64_t>(1, 5000); }

/// Not beyond rounding of the ends: a schedule between them may be one unit off.
bool is_within(double value, double a, double b) {
  const double slack = 4 * std::numeric_limits<double>::epsilon() * std::max(std::abs(a), std::abs(b));
  return value >= std::min(a, b) - slack && value <= std::max(a, b) + slack;
}

template <class S>
void check_monotone(S one) {
  one.from = arbitrary_value();
  one.to = arbitrary_value();
  one.steps = arbitrary_steps();
  RC_ASSERT(one(0) == one.from);
  RC_ASSERT(one(one.steps) == one.to);
  const auto a = *rc::gen::inRange<std::int64_t>(0, one.steps + 10);
  const auto b = *rc::gen::inRange<std::int64_t>(a, one.steps + 11);
  RC_ASSERT(is_within(one(a), one.from, one.to));
  RC_ASSERT(is_within(one(b), one(a), one.to));
}

schedule arbitrary_schedule() {
  const double from = arbitrary_value(), to = arbitrary_value();
  const std::int64_t steps = arbitrary_steps();
  switch (*rc::gen::inRange(0, 7)) {
    case 0:
      return from;
    case 1:
      return linear_schedule{.from = from, .to = to, .steps = steps};
    case 2:
      return cosine_schedule{
          .from = from, .to = to, .steps = steps, .oscillates = *rc::gen::arbitrary<bool>()};
    case 3:
      return cosine_restarts_schedule{.from = from,
                                      .to = to,
                                      .steps = steps,
                                      .multiplier = *rc::gen::inRange<std::int64_t>(1, 4),
                                      .decay = *rc::gen::inRange(1, 11) / 10.0};
    case 4:
      return exponential_schedule{
          .from = from, .factor = *rc::gen::inRange(900, 1000) / 1000.0, .every = steps};
    case 5:
      return polynomial_schedule{
          .from = from, .to = to, .steps = steps, .power = *rc::gen::inRange(1, 40) / 10.0};
    default:
      return piecewise_schedule{.points = {{2, from}, {2 + steps, to}}, .interpolates = true};
  }
}

}  // namespace

TEST_CASE("properties of schedules") {
  rc::prop("linear, cosine and polynomial go from one end to the other and never back", [] {
    check_monotone(linear_schedule{});
    check_monotone(cosine_schedule{});
    check_monotone(polynomial_schedule{.power = *rc::gen::inRange(1, 50) / 10.0});
  });

  rc::prop("a schedule stays within its bounds", [] {
    const schedule one = arbitrary_schedule();
    const value_bounds bounds = one.bounds();
    RC_ASSERT(bounds.low <= bounds.high);
    for (int i = 0; i < 20; ++i)
      RC_ASSERT(is_within(one(*rc::gen::inRange<std::int64_t>(0, 20000)), bounds.low, bounds.high));
  });

  rc::prop("a clamped schedule stays within its limits, and is the schedule where that does", [] {
    const schedule one = arbitrary_schedule();
    const double a = arbitrary_value(), b = arbitrary_value();
    const schedule limited = clamped<schedule>{.of = one, .low = std::min(a, b), .high = std::max(a, b)};
    const auto step = *rc::gen::inRange<std::int64_t>(0, 20000);
    const double value = one(step);
    RC_ASSERT(limited(step) >= std::min(a, b));
    RC_ASSERT(limited(step) <= std::max(a, b));
    if (value >= std::min(a, b) && value <= std::max(a, b)) RC_ASSERT(limited(step) == value);
  });

  rc::prop("after a warm-up comes the schedule, as if it began there", [] {
    const schedule one = arbitrary_schedule();
    const std::int64_t steps = arbitrary_steps();
    const double from = arbitrary_value();
    const schedule warm = warm_up<schedule>{.then = one, .steps = steps, .from = from};
    const auto step = *rc::gen::inRange<std::int64_t>(0, 20000);
    RC_ASSERT(warm(steps + step) == one(step));
    RC_ASSERT(warm(0) == from);
    RC_ASSERT(is_within(warm(step % steps), from, one(0)));
  });

  rc::prop("a cosine with restarts repeats its cycle when the multiplier is 1", [] {
    const cosine_restarts_schedule one{
        .from = arbitrary_value(), .to = arbitrary_value(), .steps = arbitrary_steps()};
    const auto step = *rc::gen::inRange<std::int64_t>(0, 100000);
    RC_ASSERT(one(step) == one(step + one.steps));
    const cosine_schedule cycle{.from = one.from, .to = one.to, .steps = one.steps};
    RC_ASSERT(one(step) == cycle(step % one.steps));
  });

  rc::prop("cosine is symmetric about its middle", [] {
    const cosine_schedule one{.from = 3, .to = 1, .steps = arbitrary_steps()};
    const auto step = *rc::gen::inRange<std::int64_t>(0, one.steps + 1);
    RC_ASSERT(std::abs(one(step) + one(one.steps - step) - 4) <= 2e-15);
  });
}
