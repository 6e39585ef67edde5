// Saved in the middle and restored: the same sequence, to the bit.
#include <catch2/catch.hpp>
#include <cstring>
#include <type_traits>

#include "curriculum/three_stages.hpp"

using namespace distill;
using namespace support;

static_assert(std::is_trivially_copyable_v<cursor_state>);

namespace {

/// One step of a training run: tokens vary, an epoch ends every seventh step, the metric rises.
void train_step(cursor& at, std::int64_t step) {
  at.advance(1, 60 + step % 5 * 20);
  if (step % 7 == 6) at.finish_epoch();
  if (step % 4 == 3) at.report("reward", 0.02 * static_cast<double>(step));
}

std::vector<std::vector<double>> run(cursor at, std::int64_t from) {
  std::vector<std::vector<double>> all;
  for (std::int64_t step = from; step < 60; ++step) {
    all.push_back(answers(at));
    train_step(at, step);
  }
  all.push_back(answers(at));
  return all;
}

std::string message_of(const cursor_state& state) {
  cursor at(three_stages());
  at.advance(2);
  const cursor_state before = at.state();
  try {
    at.restore(state);
  } catch (const parameter_error& error) {
    CHECK(at.state() == before);
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("saved at every step of three stages and resumed, training goes on the same") {
  const std::vector<std::vector<double>> whole = run(cursor(three_stages()), 0);
  CHECK(whole.back().front() == 3);  // it went through all of them
  cursor at(three_stages());
  for (std::int64_t step = 0; step < 60; ++step) {
    unsigned char memory[sizeof(cursor_state)];
    std::memcpy(memory, &at.state(), sizeof memory);
    cursor_state saved;
    std::memcpy(&saved, memory, sizeof memory);
    const auto rest = run(cursor(three_stages(), saved), step);
    CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + step, whole.end()));
    train_step(at, step);
  }
}

TEST_CASE("states that the plan cannot be in") {
  CHECK(message_of({.stage = -1}) == "cursor: state.stage must be >= 0, got -1");
  CHECK(message_of({.stage = 4}) == "cursor: state.stage must be in [0, 3], got 4");
  CHECK(message_of({.stage = 3}) == "cursor: state.previous_stage must be 2, got -1");
  CHECK(message_of({.stage = 2, .previous_stage = 0}) ==
        "cursor: state.previous_stage must be 1 or -1, got 0");
  CHECK(message_of({.stage_steps = 2, .steps = 1}) ==
        "cursor: state.stage_steps must be at most that of the whole training, 1, got 2");
  CHECK(message_of({.stage_tokens = 2}) ==
        "cursor: state.stage_tokens must be at most that of the whole training, 0, got 2");
  CHECK(message_of({.stage_epochs = 2}) ==
        "cursor: state.stage_epochs must be at most that of the whole training, 0, got 2");
  CHECK(message_of({.stage_steps = 10, .steps = 10}) == "cursor: state is beyond the end of stages[0]");
  CHECK(message_of({.stage = 3, .stage_steps = 1, .steps = 1, .previous_stage = 2}) ==
        "cursor: state.stage_steps must be 0 when finished, got 1");
  CHECK(message_of({.previous_clock = -1}) == "cursor: state.previous_clock must be >= 0, got -1");
  CHECK(message_of({.stage = 1, .stage_tokens = 949, .tokens = 949, .previous_stage = 0}) == "nothing");
}
