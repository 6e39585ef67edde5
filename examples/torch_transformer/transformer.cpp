#include "transformer.hpp"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/utils.h>

#include <cmath>
#include <utility>

#include "initial_weights.hpp"

namespace torch_transformer {
namespace {

/// The numbers of torch::rand begin anew with every model, whatever was drawn before.
const transformer_shape& seeded(const transformer_shape& shape, std::uint64_t seed) {
  torch::manual_seed(seed);
  return shape;
}

torch::nn::LayerNorm layer_norm(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}));
}

}  // namespace

transformer_layer::transformer_layer(const transformer_shape& shape)
    : before_attention(register_module("before_attention", layer_norm(shape.width))),
      before_feed_forward(register_module("before_feed_forward", layer_norm(shape.width))),
      queries_keys_values(
          register_module("queries_keys_values", torch::nn::Linear(shape.width, 3 * shape.width))),
      projection(register_module("projection", torch::nn::Linear(shape.width, shape.width))),
      block(register_module("block", std::make_shared<feed_forward>(shape))) {}

transformer::transformer(const transformer_shape& shape, std::uint64_t seed) : shape_(seeded(shape, seed)) {
  if (shape.symbols > 0) {
    symbols_ = register_module("symbols", torch::nn::Embedding(shape.symbols, shape.width));
    torch::nn::init::normal_(symbols_->weight, 0, 0.1);
  } else {
    features_ = register_module("features", torch::nn::Linear(shape.features, shape.width));
  }
  places_ = register_parameter("places", at::randn({shape.positions, shape.width}) * 0.1);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    layers_.push_back(
        register_module("layer" + std::to_string(layer), std::make_shared<transformer_layer>(shape)));
  last_ = register_module("last", layer_norm(shape.width));
  answer_ = register_module("answer", torch::nn::Linear(shape.width, shape.classes));
  hidden_keys_ = at::ones({shape.positions, shape.positions}, at::kBool).triu(1);
}

at::Tensor transformer::embed(const at::Tensor& inputs) {
  return (shape_.symbols > 0 ? symbols_(inputs) : features_(inputs)) + places_.narrow(0, 0, inputs.size(1));
}

at::Tensor transformer::attend(transformer_layer& layer, const at::Tensor& x,
                               std::vector<at::Tensor>& scores) const {
  const std::int64_t samples = x.size(0), positions = x.size(1), head_width = shape_.width / shape_.heads;
  const at::Tensor all = layer.queries_keys_values(layer.before_attention(x))
                             .view({samples, positions, 3, shape_.heads, head_width})
                             .permute({2, 0, 3, 1, 4});
  const double scale = 1 / std::sqrt(static_cast<double>(head_width));
  scores.push_back((all[0] * scale).matmul(all[1].transpose(2, 3)));
  const at::Tensor seen =
      shape_.predicts_next
          ? scores.back().masked_fill(hidden_keys_.narrow(0, 0, positions).narrow(1, 0, positions), -INFINITY)
          : scores.back();
  return layer.projection(
      seen.softmax(3).matmul(all[2]).transpose(1, 2).reshape({samples, positions, shape_.width}));
}

outputs transformer::forward(const at::Tensor& inputs) {
  outputs result;
  at::Tensor x = embed(inputs);
  for (const auto& layer : layers_) {
    x = x + attend(*layer, x, result.attention_scores);
    const at::Tensor tokens = x.flatten(0, 1);
    result.states.push_back(tokens +
                            layer->block->forward(layer->before_feed_forward(tokens), result.routers));
    x = result.states.back().view(x.sizes());
  }
  const at::Tensor last = last_(x);
  result.logits = answer_(shape_.predicts_next ? last.flatten(0, 1) : last.mean(1));
  return result;
}

}  // namespace torch_transformer
