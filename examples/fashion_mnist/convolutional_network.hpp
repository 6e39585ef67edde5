#pragma once

#include <array>

#include "convolution.hpp"
#include "network.hpp"

namespace fashion_mnist {

struct convolutional_shape {
  index first_channels = 16, second_channels = 32;
  index hidden = 768;
  float dropout = 0;  // of the hidden activations
};

/// Number of weights and biases.
index parameter_count(const convolutional_shape& shape);

/// Two convolutions, each with ReLU and pooling, then a fully connected layer with ReLU and dropout, then the
/// classes. Unlike a perceptron it knows that neighbouring pixels belong together.
class convolutional_network final : public network {
 public:
  convolutional_network(const convolutional_shape& shape, std::uint64_t seed);

  matrix logits(const matrix& inputs) const override;
  /// Layer 0: what the convolutions put out; layer 1: the fully connected one.
  matrix hidden(const matrix& inputs, index layer) const override;
  const matrix& forward(const matrix& inputs, std::int64_t step) override;
  void backward(const matrix& logit_gradient) override;

 private:
  /// What half a batch, one thread's, leaves behind; and its share of the gradient.
  struct half {
    convolution::trace first, second;
    vector gradient;
  };

  const matrix& convolve(const matrix& inputs, half& pass) const;
  template <class Task>
  void for_each_half(index images, const Task& task);

  convolutional_shape shape_;
  convolution first_, second_;
  dense_layer dense_, classes_;
  std::array<half, 2> halves_;
  matrix features_, hidden_, logits_;
  std::uint64_t seed_;
};

}  // namespace fashion_mnist
