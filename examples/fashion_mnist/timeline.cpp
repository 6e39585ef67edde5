#include "timeline.hpp"

#include <algorithm>

namespace fashion_mnist {
namespace {

constexpr std::int64_t most_steps = 1'000'000;

std::vector<std::string> objectives_of(const distill::curriculum& plan) {
  std::vector<std::string> names;
  for (const distill::stage& stage : plan.stages) {
    for (const distill::named_weight& one : stage.objectives) {
      if (std::find(names.begin(), names.end(), one.name) == names.end()) names.push_back(one.name);
    }
  }
  return names;
}

moment moment_of(const distill::cursor& now, const std::vector<std::string>& objectives) {
  moment all{now.temperature(), now.learning_rate(), now.loss_weight(), {}};
  for (const std::string& name : objectives) all.objectives.push_back(now.objective_weight(name));
  return all;
}

}  // namespace

timeline walk(const distill::curriculum& plan, index batch_size, index steps_per_epoch) {
  timeline result{objectives_of(plan), {}, {}};
  distill::cursor now(plan);
  while (!now.finished()) {
    const std::int64_t step = now.state().steps;
    if (step == most_steps) return {};
    if (now.state().stage_steps == 0) result.stages.push_back({now.current_stage().name, step, 0});
    ++result.stages.back().steps;
    result.moments.push_back(moment_of(now, result.objectives));
    now.advance(1, batch_size);
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

index epoch_count(std::int64_t steps, index steps_per_epoch) {
  return (steps + steps_per_epoch - 1) / steps_per_epoch;
}

}  // namespace fashion_mnist
