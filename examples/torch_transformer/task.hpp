#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "batch.hpp"
#include "experiment_plan.hpp"

namespace torch_transformer {

/// Real data. Weights are fitted on what `draw` gives, everything else is chosen on `validation`, and `test`
/// is looked at once.
struct task {
  std::function<batch(std::int64_t step, std::uint64_t seed)> draw;
  std::vector<batch> validation;
  std::vector<batch> test;
};

/// The next byte of a text, from the files of Debian's packages fortunes and fortunes-min. Of every 40 pieces
/// of 4 KiB one is for validation and one for the test.
task text_task(const std::filesystem::path& folder, const task_plan& plan);

/// The class of a Fashion-MNIST image, whose rows are the positions. The last 5,000 training images are for
/// validation.
task image_task(const std::filesystem::path& folder, const task_plan& plan);

}  // namespace torch_transformer
