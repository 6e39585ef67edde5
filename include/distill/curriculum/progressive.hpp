#pragma once

#include <distill/curriculum/stage.hpp>
#include <span>

namespace distill::inline DISTILL_ABI {

/// Which layers a stage of progressive distillation aligns: all up to its own, or its own alone.
enum class progressive_layers { cumulative, one_at_a_time };

/// Progressive distillation: one stage for each layer, in the order given, usually from the bottom up.
///
/// Every stage is a copy of `prototype` with the name `prototype.name` and ` 1`, ` 2`, ..., and its layers
/// set. Append a stage without layers to train the whole student at the end.
inline std::vector<stage> progressive_stages(const stage& prototype, std::span<const layer_weight> layers,
                                             progressive_layers which = progressive_layers::cumulative) {
  std::vector<stage> stages;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::size_t first = which == progressive_layers::cumulative ? 0 : i;
    stage& one = stages.emplace_back(prototype);
    one.name.append(" ").append(std::to_string(i + 1));
    one.layers.assign(layers.begin() + static_cast<std::ptrdiff_t>(first),
                      layers.begin() + static_cast<std::ptrdiff_t>(i + 1));
    if (i == 0) one.blend = 0;
  }
  return stages;
}

}  // namespace distill::inline DISTILL_ABI
