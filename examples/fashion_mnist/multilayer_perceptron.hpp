#pragma once

#include "dense_layer.hpp"
#include "network.hpp"

namespace fashion_mnist {

/// Widths from pixels to classes ({784, 1024, 1024, 10}) and the probability of dropping a hidden activation.
struct perceptron_shape {
  std::vector<index> widths;
  float dropout = 0;
};

/// Number of weights and biases.
index parameter_count(const perceptron_shape& shape);

/// Fully connected layers with ReLU between them and dropout after each ReLU while training.
class multilayer_perceptron final : public network {
 public:
  multilayer_perceptron(const perceptron_shape& shape, std::uint64_t seed);

  matrix logits(const matrix& inputs) const override;
  const matrix& forward(const matrix& inputs, std::int64_t step) override;
  void backward(const matrix& logit_gradient) override;

 private:
  std::vector<dense_layer> layers_;
  std::vector<matrix> activations_;  // the inputs of each layer, then the logits
  float dropout_;
  std::uint64_t seed_;
};

}  // namespace fashion_mnist
