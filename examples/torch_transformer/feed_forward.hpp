#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "transformer_shape.hpp"

namespace torch_transformer {

/// What the routers of a model did with a batch.
struct router_record {
  at::Tensor balance;  // balance loss, summed over the layers; undefined without experts
  std::vector<std::vector<std::int64_t>> picks;  // by layer and expert
};

/// What comes after attention: two linear maps around a GELU, or several such experts of which each token
/// meets those that the gate picks.
class feed_forward : public torch::nn::Module {
 public:
  explicit feed_forward(const transformer_shape& shape);

  /// [tokens, width] to [tokens, width], and what the router did.
  at::Tensor forward(const at::Tensor& tokens, router_record& record) const;

 private:
  at::Tensor expert(std::size_t e, const at::Tensor& tokens) const;

  std::int64_t experts_, experts_per_token_;
  at::Tensor router_;                                        // [width, experts]
  std::vector<at::Tensor> up_, up_bias_, down_, down_bias_;  // by expert
};

}  // namespace torch_transformer
