#pragma once

#include <distill/curriculum/curriculum.hpp>

#include "results.hpp"
#include "task.hpp"
#include "transformer.hpp"

namespace torch_transformer {

/// How one model is trained.
struct lesson {
  distill::curriculum plan;
  std::int64_t steps;
  std::int64_t steps_per_epoch;
  std::int64_t tokens_per_step;
  double learning_rate;  // the highest: it rises over a tenth of the steps and falls to 0 along a cosine
  std::uint64_t seed;
};

/// Trains a model through a curriculum; one entry per epoch, after which `epoch_done` hears how it went. The
/// teacher may be null where the curriculum asks for none of it.
history train(transformer& model, transformer* teacher, const task& data, const lesson& how,
              const std::function<void(const std::string& detail)>& epoch_done);

/// Nats and accuracy over all answers of some batches, and how fast they came.
scores evaluate(transformer& model, const std::vector<batch>& batches);

/// How often the experts of each layer are picked on some batches.
std::vector<std::vector<std::int64_t>> count_picks(transformer& model, const std::vector<batch>& batches);

}  // namespace torch_transformer
