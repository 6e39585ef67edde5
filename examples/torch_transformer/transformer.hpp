#pragma once

#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "feed_forward.hpp"
#include "transformer_shape.hpp"

namespace torch_transformer {

/// The answer of a model, and what of its inside a student can learn from.
struct outputs {
  at::Tensor logits;  // [answers, classes]
  std::vector<at::Tensor>
      attention_scores;            // of each layer [samples, heads, queries, keys], before the softmax
  std::vector<at::Tensor> states;  // after each feed-forward block [samples * positions, width]
  router_record routers;
};

/// Attention and feed-forward block, each after a layer normalisation and beside a residual connection.
struct transformer_layer : torch::nn::Module {
  explicit transformer_layer(const transformer_shape& shape);

  torch::nn::LayerNorm before_attention, before_feed_forward;
  torch::nn::Linear queries_keys_values, projection;
  std::shared_ptr<feed_forward> block;
};

/// A Transformer over symbols or over rows of features.
class transformer : public torch::nn::Module {
 public:
  transformer(const transformer_shape& shape, std::uint64_t seed);

  /// May be called by several threads at once.
  outputs forward(const at::Tensor& inputs);

  const transformer_shape& shape() const { return shape_; }

 private:
  at::Tensor embed(const at::Tensor& inputs);
  /// The layer's change of x [samples, positions, width]; appends its scores.
  at::Tensor attend(transformer_layer& layer, const at::Tensor& x, std::vector<at::Tensor>& scores) const;

  transformer_shape shape_;
  torch::nn::Embedding symbols_{nullptr};
  torch::nn::Linear features_{nullptr};
  torch::nn::Linear answer_{nullptr};
  torch::nn::LayerNorm last_{nullptr};
  at::Tensor places_;       // [positions, width]
  at::Tensor hidden_keys_;  // [queries, keys], true where a key comes later than its query
  std::vector<std::shared_ptr<transformer_layer>> layers_;
};

}  // namespace torch_transformer
