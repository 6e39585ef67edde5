#pragma once

#include <ATen/core/Tensor.h>

namespace torch_transformer {

/// What a model sees and what it should answer.
struct batch {
  at::Tensor
      inputs;  // symbols [samples, positions] of Long, or features [samples, positions, features] of Float
  at::Tensor targets;  // [answers] of Long: one for each position, or one for each sample
};

}  // namespace torch_transformer
