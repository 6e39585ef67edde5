// The one type that holds any schedule.
#include <catch2/catch.hpp>
#include <cstring>
#include <distill/schedule/schedule.hpp>
#include <limits>
#include <type_traits>

using namespace distill;

static_assert(std::is_trivially_copyable_v<schedule>);
static_assert(sizeof(schedule) <= 512);
static_assert(step_function<schedule> && step_function<warm_up<clamped<cosine_schedule>>>);

namespace {

template <class S>
void check_same(const S& one) {
  const schedule erased = one;
  const value_bounds bounds = erased.bounds();
  for (std::int64_t step = 0; step < 60; ++step) {
    const double value = one(step);
    CHECK(erased(step) == value);
    CHECK(value >= bounds.low);
    CHECK(value <= bounds.high);
  }
  CHECK(erased == schedule(one));
  CHECK(!(erased == schedule(12345.5)));
}

}  // namespace

TEST_CASE("a schedule has the value of what it was made from") {
  check_same(constant_schedule{3});
  check_same(linear_schedule{.from = 5, .to = 1, .steps = 17});
  check_same(cosine_schedule{.from = 5, .to = 1, .steps = 17, .oscillates = true});
  check_same(cosine_restarts_schedule{.from = 5, .to = 1, .steps = 3, .multiplier = 2, .decay = 0.7});
  check_same(exponential_schedule{.from = 5, .factor = 0.9, .every = 3, .staircase = true});
  check_same(exponential_schedule{.from = -5, .factor = 1.1});
  check_same(polynomial_schedule{.from = 5, .to = 1, .steps = 17, .power = 3});
  check_same(piecewise_schedule{.points = {{3, 1}, {9, 4}}, .interpolates = true});
  check_same(temperature_ramp{});
  const warm_up<cosine_schedule> warm{.then = {.from = 5, .to = 1, .steps = 17}, .steps = 6, .from = 0.5};
  check_same(warm);
  check_same(clamped<warm_up<cosine_schedule>>{.of = warm, .low = 1, .high = 4});
  check_same(warm_up<clamped<warm_up<cosine_schedule>>>{
      .then = {.of = warm, .low = 1, .high = 4}, .steps = 5, .from = 9});
}

TEST_CASE("bounds of a schedule") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(schedule(cosine_schedule{.from = 5, .to = 1}).bounds() == value_bounds{1, 5});
  CHECK(schedule(exponential_schedule{.from = 5, .factor = 0.9}).bounds() == value_bounds{0, 5});
  CHECK(schedule(exponential_schedule{.from = -5, .factor = 2}).bounds() == value_bounds{-infinity, -5});
  CHECK(schedule(exponential_schedule{.from = 5}).bounds() == value_bounds{5, 5});
  CHECK(schedule(clamped<exponential_schedule>{.of = {.from = 5, .factor = 0.9}, .low = 1}).bounds() ==
        value_bounds{1, 5});
  CHECK(schedule(warm_up<constant_schedule>{.then = {3}, .from = -1}).bounds() == value_bounds{-1, 3});
  CHECK(schedule(piecewise_schedule{.points = {{0, 4}, {1, -2}, {2, 7}}}).bounds() == value_bounds{-2, 7});
}

TEST_CASE("schedules differ where a parameter differs") {
  const schedule one = warm_up<cosine_schedule>{.then = {.from = 5}, .steps = 3};
  CHECK(one == schedule(warm_up<cosine_schedule>{.then = {.from = 5}, .steps = 3}));
  CHECK_FALSE(one == schedule(warm_up<cosine_schedule>{.then = {.from = 4}, .steps = 3}));
  CHECK_FALSE(one == schedule(warm_up<cosine_schedule>{.then = {.from = 5}, .steps = 4}));
  CHECK_FALSE(one == schedule(cosine_schedule{.from = 5}));
  CHECK_FALSE(schedule(clamped<constant_schedule>{.low = 0}) ==
              schedule(clamped<constant_schedule>{.low = 0.5}));
}

TEST_CASE("a copy of the bytes is the schedule") {
  const schedule one = temperature_ramp{.first = 3};
  schedule copy;
  std::memcpy(static_cast<void*>(&copy), &one, sizeof one);
  CHECK(copy == one);
  CHECK(copy(7) == one(7));
}

TEST_CASE("schedules as text") {
  CHECK(to_string(schedule(2.5)) == "constant_schedule{.value = 2.5}");
  CHECK(to_string(schedule(piecewise_schedule{.points = {{0, 5}, {6, 3}}})) ==
        "piecewise_schedule{.points = {{0, 5}, {6, 3}}, .interpolates = false}");
  CHECK(to_string(schedule(clamped<warm_up<linear_schedule>>{.of = {.steps = 9}, .low = 0.5, .high = 2})) ==
        "clamped{.of = warm_up{.then = linear_schedule{.from = 0, .to = 1, .steps = 1}, .steps = 9, .from = "
        "0}, "
        ".low = 0.5, .high = 2}");
}
