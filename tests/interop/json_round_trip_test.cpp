// Saved and loaded: equal, every double to the bit.
#include <bit>
#include <catch2/catch.hpp>
#include <cstdio>
#include <distill/interop/json.hpp>
#include <fstream>
#include <limits>
#include <random>

#include "curriculum/three_stages.hpp"

using namespace distill;
using namespace support;

namespace {

template <class T>
void check_round_trip(const T& value) {
  const std::string text = save_json(value);
  CHECK(load_json<T>(text) == value);
  CHECK(save_json(load_json<T>(text)) == text);
}

std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

double first_value(const schedule& one) { return load_json<schedule>(save_json(one))(0); }

}  // namespace

TEST_CASE("curricula and states are the same after saving and loading") {
  check_round_trip(three_stages());
  check_round_trip(
      curriculum{.stages = {{.name = "a \"quoted\" \n name, \xC3\xA4", .length = {.amount = 1}}}});
  check_round_trip(cursor_state{.stage = 1,
                                .stage_steps = 2,
                                .stage_tokens = 3,
                                .stage_epochs = 4,
                                .steps = 5,
                                .tokens = std::numeric_limits<std::int64_t>::max(),
                                .epochs = 7,
                                .previous_stage = 0,
                                .previous_clock = 9});
  check_round_trip(taid_state{
      .interpolation = 0.1 + 0.2, .momentum = -1e-300, .previous_loss = 5, .has_previous_loss = true});
  check_round_trip(ctkd_state{.parameter = -0.1, .epoch = 12});
  check_round_trip(gradient_balance_state{});
  check_round_trip(gradient_balance_state{
      .terms = 3, .norms = {0.1 + 0.2, 1e-300, 4}, .first_losses = {5, 6, 1e300}, .progress = {0.5, 1, 0.1}});
}

TEST_CASE("a cursor saved as JSON goes on the same") {
  cursor at(three_stages());
  for (int i = 0; i < 40; ++i) {
    const cursor restored(load_json<curriculum>(save_json(three_stages())),
                          load_json<cursor_state>(save_json(at.state())));
    CHECK(answers(restored) == answers(at));
    at.advance(1, 90);
  }
}

TEST_CASE("every kind of schedule") {
  for (const schedule& one : std::initializer_list<schedule>{
           0.1, constant_schedule{-3}, linear_schedule{.from = 0.1, .to = 0.3, .steps = 7},
           cosine_schedule{.from = 0.1, .to = 0.3, .steps = 7, .oscillates = true},
           cosine_restarts_schedule{.from = 0.1, .to = 0.3, .steps = 7, .multiplier = 3, .decay = 0.7},
           exponential_schedule{.from = 0.1, .factor = 0.3, .every = 7, .staircase = true},
           polynomial_schedule{.from = 0.1, .to = 0.3, .steps = 7, .power = 0.9},
           piecewise_schedule{.points = {{0, 0.1}, {7, -0.3}}, .interpolates = true},
           temperature_ramp{.start = 1, .first = 2, .increment = -0.1, .stop = 0.5}, temperature_ramp{},
           warm_up<schedule>{
               .then = clamped<linear_schedule>{.of = {.steps = 3}, .low = 0.1}, .steps = 4, .from = 0.1},
           clamped<schedule>{.of = warm_up<linear_schedule>{.then = {.steps = 3}, .steps = 4}, .high = 0.1},
           clamped<linear_schedule>{}})
    check_round_trip(one);
}

TEST_CASE("doubles keep their bits") {
  std::mt19937_64 random(5);
  const auto check = [](double value) {
    CHECK(bits(first_value(value)) == bits(value));
    const schedule line = linear_schedule{.from = value, .to = 1, .steps = 3};
    const schedule loaded = load_json<schedule>(save_json(line));
    CHECK(bits(std::get<linear_schedule>(loaded.innermost()).from) == bits(value));
    const taid_state state{.previous_loss = value};
    CHECK(bits(load_json<taid_state>(save_json(state)).previous_loss) == bits(value));
  };
  using limits = std::numeric_limits<double>;
  for (const double value : {0.0, -0.0, 0.1, 1.0 / 3, limits::max(), limits::lowest(), limits::min(),
                             limits::denorm_min(), 1e23, 9007199254740993.0, 5e-324, 1.7976931348623157e308})
    check(value);
  for (int i = 0; i < 3000;) {
    const double value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    check(value);
    ++i;
  }
}

TEST_CASE("default values are left out and come back") {
  CHECK(save_json(schedule(2)) == "2.0\n");
  CHECK(save_json(curriculum{.stages = {{.name = "a", .length = {.amount = 3}}}}) ==
        "{\n  \"version\": 1,\n  \"stages\": [\n    {\n      \"name\": \"a\",\n      \"length\": {\n"
        "        \"amount\": 3\n      }\n    }\n  ]\n}\n");
}

TEST_CASE("files") {
  const std::string path = "json_round_trip_test.json";
  save_json_file(three_stages(), path);
  CHECK(load_json_file<curriculum>(path) == three_stages());
  CHECK_THROWS_AS(load_json_file<curriculum>(path, {.bytes = 100}), json_error);
  CHECK_FALSE(std::ifstream(path + ".partial").good());
  std::remove(path.c_str());
  CHECK_THROWS_WITH(load_json_file<curriculum>("no such file"), "load_json_file: cannot open no such file");
  CHECK_THROWS_AS(save_json_file(three_stages(), "no such folder/file"), data_error);
}

TEST_CASE("what cannot be saved is not") {
  CHECK_THROWS_WITH(save_json(curriculum{.stages = {{.name = "\xff", .length = {.amount = 3}}}}),
                    "save_json: a name is not UTF-8");
  CHECK_THROWS_AS(save_json(curriculum{}), json_error);
}
