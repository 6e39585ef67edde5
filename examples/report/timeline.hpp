#pragma once

#include <cstdint>
#include <distill/curriculum/cursor.hpp>
#include <string>
#include <vector>

namespace report {

/// What holds during one training step.
struct moment {
  double temperature;
  double learning_rate;
  double loss_weight;
  std::vector<double> objectives;  // in the order of timeline::objectives
};

struct stage_span {
  std::string name;
  std::int64_t first_step;
  std::int64_t steps;

  std::int64_t last_step() const { return first_step + steps - 1; }
};

/// A curriculum, step by step.
struct timeline {
  std::vector<std::string>
      objectives;               // losses, then aligned layers: "layers 0-1", the student's and the teacher's
  std::vector<moment> moments;  // by step
  std::vector<stage_span> stages;
};

/// Walks through the curriculum as training does. Empty if that takes more than a million steps, or if a
/// stage waits for a metric.
timeline walk(const distill::curriculum& plan, std::int64_t tokens_per_step, std::int64_t steps_per_epoch);

/// At most 400 steps, evenly spaced, the first and the last among them.
std::vector<std::int64_t> sampled_steps(const timeline& all);

/// Epochs begun in so many steps.
std::int64_t epoch_count(std::int64_t steps, std::int64_t steps_per_epoch);

}  // namespace report
