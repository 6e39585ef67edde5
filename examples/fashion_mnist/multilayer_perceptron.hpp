#pragma once

#include "network.hpp"
#include "random.hpp"

namespace fashion_mnist {

/// Widths from pixels to classes ({784, 1024, 1024, 10}) and the probability of dropping a hidden activation.
struct perceptron_shape {
  std::vector<index> widths;
  float dropout = 0;
};

/// Number of weights and biases.
index parameter_count(const perceptron_shape& shape);

/// Fully connected layers with ReLU between them and (inverted) dropout after each ReLU while training.
class multilayer_perceptron final : public network {
 public:
  /// Weights uniform in ±sqrt(6 / inputs) (He et al. 2015, arXiv 1502.01852), biases zero.
  multilayer_perceptron(const perceptron_shape& shape, std::uint64_t seed);

  matrix logits(const matrix& inputs) const override;
  const matrix& forward(const matrix& inputs) override;
  void backward(const matrix& logit_gradient) override;

 private:
  struct layer {
    index inputs;
    index outputs;
    index offset;  // of its weights [inputs, outputs] in the parameters; its biases follow
  };

  template <class Storage>
  static auto weights(Storage& storage, const layer& layer);
  template <class Storage>
  static auto biases(Storage& storage, const layer& layer);
  void drop(matrix& activations);

  std::vector<layer> layers_;
  std::vector<matrix> activations_;  // the inputs of each layer, then the logits
  float dropout_;
  random_engine engine_;
};

}  // namespace fashion_mnist
