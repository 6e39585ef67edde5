#pragma once

#include <ATen/ops/rand.h>

#include <cmath>

namespace torch_transformer {

/// [inputs, outputs], uniform to both sides of zero, so that the outputs vary about as the inputs do.
inline at::Tensor initial_matrix(std::int64_t inputs, std::int64_t outputs) {
  const double bound = std::sqrt(3.0 / static_cast<double>(inputs));
  return (at::rand({inputs, outputs}) * 2 - 1) * bound;
}

}  // namespace torch_transformer
