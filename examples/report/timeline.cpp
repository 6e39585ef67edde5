#include "timeline.hpp"

#include <algorithm>
#include <functional>

namespace report {
namespace {

constexpr std::int64_t most_steps = 1'000'000;

using weight_now = std::function<double(const distill::cursor&)>;

/// The losses and the pairs of layers of all stages by name, with what tells their weights.
std::vector<std::pair<std::string, weight_now>> objectives_of(const distill::curriculum& plan) {
  std::vector<std::pair<std::string, weight_now>> all;
  const auto add = [&](const std::string& name, weight_now weight) {
    const auto is_it = [&](const auto& one) { return one.first == name; };
    if (std::none_of(all.begin(), all.end(), is_it)) all.emplace_back(name, std::move(weight));
  };
  for (const distill::stage& stage : plan.stages) {
    for (const distill::named_weight& one : stage.objectives)
      add(one.name, [name = one.name](const auto& now) { return now.objective_weight(name); });
  }
  for (const distill::stage& stage : plan.stages) {
    for (const distill::layer_weight& one : stage.layers)
      add("layers " + std::to_string(one.student) + "-" + std::to_string(one.teacher),
          [i = one.student, j = one.teacher](const auto& now) { return now.layer_weight(i, j); });
  }
  return all;
}

}  // namespace

timeline walk(const distill::curriculum& plan, std::int64_t tokens_per_step, std::int64_t steps_per_epoch) {
  const auto objectives = objectives_of(plan);
  timeline result;
  for (const auto& [name, weight] : objectives) result.objectives.push_back(name);
  distill::cursor now(plan);
  while (!now.finished()) {
    const std::int64_t step = now.state().steps;
    if (step == most_steps) return {};
    if (now.state().stage_steps == 0) result.stages.push_back({now.current_stage().name, step, 0});
    ++result.stages.back().steps;
    result.moments.push_back({now.temperature(), now.learning_rate(), now.loss_weight(), {}});
    for (const auto& [name, weight] : objectives) result.moments.back().objectives.push_back(weight(now));
    now.advance(1, tokens_per_step);
    if ((step + 1) % steps_per_epoch == 0) now.finish_epoch();
  }
  return result;
}

std::vector<std::int64_t> sampled_steps(const timeline& all) {
  const std::int64_t last = std::ssize(all.moments) - 1, parts = std::min<std::int64_t>(last, 399);
  std::vector<std::int64_t> steps;
  for (std::int64_t i = 0; i <= parts; ++i) steps.push_back(parts == 0 ? 0 : last * i / parts);
  return steps;
}

std::int64_t epoch_count(std::int64_t steps, std::int64_t steps_per_epoch) {
  return (steps + steps_per_epoch - 1) / steps_per_epoch;
}

}  // namespace report
