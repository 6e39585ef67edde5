// How a cursor moves, and what it answers.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/curriculum/cursor.hpp>
#include <distill/curriculum/cursor_state-inl.hpp>
#include <distill/error/parameter_text-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline double weight_at(const std::vector<named_weight>& weights, std::string_view name, std::int64_t clock) {
  for (const named_weight& one : weights)
    if (one.name == name) return one.weight(clock);
  return 0;
}

}  // namespace detail

DISTILL_INLINE cursor::cursor(curriculum plan) : cursor(std::move(plan), cursor_state{}) {}

DISTILL_INLINE cursor::cursor(curriculum plan, const cursor_state& saved) : plan_(std::move(plan)) {
  check(plan_);
  std::int64_t end = 0;
  for (const stage& one : plan_.stages) {
    if (one.length.unit != length_unit::steps) break;
    end = one.length.amount > detail::no_end - end ? detail::no_end : end + one.length.amount;
    ends_.push_back(end);
  }
  restore(saved);
}

DISTILL_INLINE void cursor::restore(const cursor_state& saved) {
  detail::check_state(plan_, saved);
  state_ = saved;
}

// ---- where

DISTILL_INLINE std::int64_t cursor::clock_of(const stage& one) const {
  switch (one.clock) {
    case clock_unit::tokens:
      return state_.stage_tokens;
    case clock_unit::epochs:
      return state_.stage_epochs;
    default:
      return state_.stage_steps;
  }
}

DISTILL_INLINE cursor::position cursor::now() const {
  if (finished()) return {static_cast<std::size_t>(state_.previous_stage), state_.previous_clock};
  return {stage_index(), clock_of(plan_.stages[stage_index()])};
}

template <class F>
double cursor::blended(F&& value_at) const {
  const position here = now();
  const double value = value_at(here);
  const std::int64_t blend = plan_.stages[here.stage].blend;
  if (finished() || state_.previous_stage < 0 || here.clock >= blend) return value;
  const double old =
      value_at(position{static_cast<std::size_t>(state_.previous_stage), state_.previous_clock});
  return std::lerp(old, value, (static_cast<double>(here.clock) + 1) / (static_cast<double>(blend) + 1));
}

// ---- what holds now

DISTILL_INLINE double cursor::temperature() const {
  return blended([this](const position& where) {
    const auto& own = plan_.stages[where.stage].temperature;
    return own ? (*own)(where.clock) : plan_.temperature(state_.steps);
  });
}

DISTILL_INLINE double cursor::learning_rate() const {
  return blended([this](const position& where) {
    const auto& own = plan_.stages[where.stage].learning_rate;
    return own ? (*own)(where.clock) : plan_.learning_rate(state_.steps);
  });
}

DISTILL_INLINE double cursor::loss_weight() const {
  return blended([this](const position& where) { return plan_.stages[where.stage].loss_weight; });
}

DISTILL_INLINE double cursor::objective_weight(std::string_view name) const {
  return blended([this, name](const position& where) {
    return detail::weight_at(plan_.stages[where.stage].objectives, name, where.clock);
  });
}

DISTILL_INLINE double cursor::share_in(const position& where, std::string_view name) const {
  const stage& one = plan_.stages[where.stage];
  if (one.mixture.empty()) return !one.data_source.empty() && one.data_source == name ? 1 : 0;
  double sum = 0;
  for (const named_weight& source : one.mixture) sum += source.weight(where.clock);
  return sum > 0 ? detail::weight_at(one.mixture, name, where.clock) / sum : 0;
}

DISTILL_INLINE double cursor::source_share(std::string_view name) const {
  return blended([this, name](const position& where) { return share_in(where, name); });
}

DISTILL_INLINE double cursor::layer_weight(std::int64_t student, std::int64_t teacher) const {
  return blended([this, student, teacher](const position& where) {
    for (const auto& one : plan_.stages[where.stage].layers)
      if (one.student == student && one.teacher == teacher) return one.weight(where.clock);
    return 0.0;
  });
}

template <class Names, class Weight>
std::vector<current_weight> cursor::list(Names&& names, Weight&& weight) const {
  std::vector<current_weight> all;
  const auto add = [&](std::string_view name) {
    const auto is_same = [name](const current_weight& one) { return one.name == name; };
    if (!name.empty() && std::none_of(all.begin(), all.end(), is_same)) all.push_back({name, weight(name)});
  };
  const position here = now();
  names(plan_.stages[here.stage], add);
  if (!finished() && state_.previous_stage >= 0 && here.clock < plan_.stages[here.stage].blend)
    names(plan_.stages[static_cast<std::size_t>(state_.previous_stage)], add);
  return all;
}

DISTILL_INLINE std::vector<current_weight> cursor::objectives() const {
  return list(
      [](const stage& one, const auto& add) {
        for (const named_weight& objective : one.objectives) add(objective.name);
      },
      [this](std::string_view name) { return objective_weight(name); });
}

DISTILL_INLINE std::vector<current_weight> cursor::sources() const {
  return list(
      [](const stage& one, const auto& add) {
        for (const named_weight& source : one.mixture) add(source.name);
        add(one.data_source);
      },
      [this](std::string_view name) { return source_share(name); });
}

// ---- moving

DISTILL_INLINE void cursor::enter(std::int64_t next) {
  const position left = now();
  state_.previous_stage = static_cast<std::int64_t>(left.stage);
  state_.previous_clock = left.clock;
  state_.stage = next;
  state_.stage_steps = state_.stage_tokens = state_.stage_epochs = 0;
}

DISTILL_INLINE bool cursor::end_if_full() {
  if (!detail::is_full(plan_.stages[stage_index()].length, state_)) return false;
  enter(state_.stage + 1);
  return true;
}

DISTILL_INLINE std::size_t cursor::advance(std::int64_t steps, std::int64_t tokens_per_step) {
  detail::require_count("steps", steps);
  detail::require_count("tokens_per_step", tokens_per_step);
  const bool has_room = steps <= detail::no_end - state_.steps &&
                        (tokens_per_step == 0 || steps <= (detail::no_end - state_.tokens) / tokens_per_step);
  if (!has_room) throw parameter_error("cursor: more steps or tokens than an int64 counts");
  std::size_t ended = 0;
  while (steps > 0 && !finished()) {
    const std::int64_t counted =
        std::min(steps, detail::steps_left(current_stage().length, state_, tokens_per_step));
    state_.stage_steps += counted;
    state_.steps += counted;
    state_.stage_tokens += counted * tokens_per_step;
    state_.tokens += counted * tokens_per_step;
    steps -= counted;
    ended += end_if_full();
  }
  return ended;
}

DISTILL_INLINE bool cursor::finish_epoch() {
  if (finished()) return false;
  ++state_.epochs;
  // Its last step ended the stage before this one.
  if (state_.stage_steps == 0 && state_.steps > 0) return false;
  ++state_.stage_epochs;
  return end_if_full();
}

DISTILL_INLINE bool cursor::report(std::string_view metric, double value) {
  if (finished()) return false;
  const stage_length& length = current_stage().length;
  if (length.unit != length_unit::metric || std::string_view(length.metric) != metric) return false;
  const bool is_reached =
      length.goal == metric_goal::at_least ? value >= length.target : value <= length.target;
  if (is_reached) enter(state_.stage + 1);
  return is_reached;
}

DISTILL_INLINE void cursor::skip_stage() {
  if (!finished()) enter(state_.stage + 1);
}

DISTILL_INLINE void cursor::repeat_stage() {
  if (finished())
    throw parameter_error("cursor: finished, no stage to repeat; roll_back begins the last one again");
  roll_back(0);
}

DISTILL_INLINE void cursor::roll_back(std::int64_t stages) {
  if (stages < 0 || stages > state_.stage)
    detail::throw_parameter("cursor", "stages to roll back", "in [0, " + std::to_string(state_.stage) + "]",
                            std::to_string(stages));
  if (finished() && stages == 0) return repeat_stage();
  state_.stage -= stages;
  state_.stage_steps = state_.stage_tokens = state_.stage_epochs = 0;
  state_.previous_stage = -1;
  state_.previous_clock = 0;
}

DISTILL_INLINE void cursor::seek(std::int64_t step) {
  detail::require_count("step", step);
  const auto next = std::upper_bound(ends_.begin(), ends_.end(), step);
  const auto index = static_cast<std::size_t>(next - ends_.begin());
  const std::int64_t begin = index == 0 ? 0 : next[-1];
  if (index == ends_.size() && index < plan_.stages.size() && step > begin)
    throw parameter_error("cursor: cannot seek step " + std::to_string(step) + ", stages[" +
                          std::to_string(index) + "] is not counted in steps");
  cursor_state sought;
  sought.stage = static_cast<std::int64_t>(index);
  sought.steps = index == plan_.stages.size() ? begin : step;
  sought.stage_steps = sought.steps - begin;
  if (index > 0) {
    const stage& previous = plan_.stages[index - 1];
    sought.previous_stage = sought.stage - 1;
    sought.previous_clock = previous.clock == clock_unit::steps ? previous.length.amount : 0;
  }
  state_ = sought;
}

}  // namespace distill::inline DISTILL_ABI
