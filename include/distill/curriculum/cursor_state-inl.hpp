// When a stage is full, and which states a curriculum can be in.
#pragma once

#include <distill/curriculum/cursor.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

constexpr std::int64_t no_end = std::numeric_limits<std::int64_t>::max();

/// Steps of so many tokens until the stage is full.
inline std::int64_t steps_left(const stage_length& length, const cursor_state& state, std::int64_t tokens) {
  switch (length.unit) {
    case length_unit::steps:
      return length.amount - state.stage_steps;
    case length_unit::tokens: {
      const std::int64_t left = length.amount - state.stage_tokens;
      return tokens == 0 ? no_end : left / tokens + (left % tokens != 0);
    }
    case length_unit::metric:
      return length.amount == 0 ? no_end : length.amount - state.stage_steps;
    default:
      return no_end;
  }
}

inline bool is_full(const stage_length& length, const cursor_state& state) {
  switch (length.unit) {
    case length_unit::steps:
      return state.stage_steps >= length.amount;
    case length_unit::tokens:
      return state.stage_tokens >= length.amount;
    case length_unit::epochs:
      return state.stage_epochs >= length.amount;
    default:
      return length.amount > 0 && state.stage_steps >= length.amount;
  }
}

inline void require_count(std::string_view what, std::int64_t count) {
  if (count < 0) throw_parameter("cursor", what, ">= 0", std::to_string(count));
}

inline void require_state(std::string_view what, bool is_possible, const std::string& expected,
                          std::int64_t got) {
  if (!is_possible) throw_parameter("cursor", "state." + std::string(what), expected, std::to_string(got));
}

inline void check_state(const curriculum& plan, const cursor_state& state) {
  check_ranges(state, [](std::string_view name, std::string_view expected, double got) {
    throw_parameter("cursor", "state." + std::string(name), expected, text_of(got));
  });
  const auto count = static_cast<std::int64_t>(plan.stages.size());
  require_state("stage", state.stage <= count, "in [0, " + std::to_string(count) + "]", state.stage);
  const bool is_finished = state.stage == count;
  require_state("previous_stage",
                state.previous_stage == state.stage - 1 || (state.previous_stage == -1 && !is_finished),
                std::to_string(state.stage - 1) + (is_finished ? "" : " or -1"), state.previous_stage);
  const auto require_part = [](const char* what, std::int64_t part, std::int64_t whole) {
    require_state(what, part <= whole, "at most that of the whole training, " + std::to_string(whole), part);
  };
  require_part("stage_steps", state.stage_steps, state.steps);
  require_part("stage_tokens", state.stage_tokens, state.tokens);
  require_part("stage_epochs", state.stage_epochs, state.epochs);
  if (is_finished) {
    require_state("stage_steps", state.stage_steps == 0, "0 when finished", state.stage_steps);
    require_state("stage_tokens", state.stage_tokens == 0, "0 when finished", state.stage_tokens);
    require_state("stage_epochs", state.stage_epochs == 0, "0 when finished", state.stage_epochs);
  } else if (is_full(plan.stages[static_cast<std::size_t>(state.stage)].length, state)) {
    throw parameter_error("cursor: state is beyond the end of stages[" + std::to_string(state.stage) + "]");
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
