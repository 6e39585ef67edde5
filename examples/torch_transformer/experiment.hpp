#pragma once

#include <filesystem>

#include "experiment_plan.hpp"
#include "results.hpp"

namespace torch_transformer {

struct data_folders {
  std::filesystem::path text, images;
};

/// Trains and tests a teacher for each task, then its students, one for each curriculum and seed; `threads`
/// of them at a time, each on one thread. The same plan gives the same scores on the same kind of processor,
/// for any number of threads.
results run_experiment(const experiment_plan& plan, const data_folders& folders, int threads);

}  // namespace torch_transformer
