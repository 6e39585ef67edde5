#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "transformer_shape.hpp"

namespace torch_transformer {

/// What comes after attention: two linear maps around a GELU, or several such experts of which each token
/// meets those that the gate picks.
class feed_forward : public torch::nn::Module {
 public:
  /// Counts the picks of each expert in `picks`, unless it is null.
  feed_forward(const transformer_shape& shape, std::vector<std::int64_t>* picks);

  /// [tokens, width] to [tokens, width]. With experts the balance loss of this block is added to `balance`.
  at::Tensor forward(const at::Tensor& tokens, at::Tensor& balance);

 private:
  at::Tensor expert(std::int64_t number, const at::Tensor& tokens) const;

  std::int64_t experts_, experts_per_token_;
  std::vector<std::int64_t>* picks_;
  at::Tensor router_;                                        // [width, experts]
  std::vector<at::Tensor> up_, up_bias_, down_, down_bias_;  // by expert
};

}  // namespace torch_transformer
