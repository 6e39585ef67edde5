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
  matrix hidden(const matrix& inputs, index layer) const override;
  const matrix& forward(const matrix& inputs, std::int64_t step) override;
  void backward(const matrix& logit_gradient) override;

  index hidden_layers() const { return std::ssize(layers_) - 1; }
  /// What a hidden layer (0-based) put out in the last forward.
  const matrix& hidden(index layer) const { return activations_[static_cast<std::size_t>(layer) + 1]; }
  /// The next backward adds this dLoss/dHidden of that layer to what comes back from the logits.
  void pull(index layer, matrix hidden_gradient);

 private:
  matrix outputs(const matrix& inputs, std::size_t layer_count) const;

  std::vector<dense_layer> layers_;
  std::vector<matrix> activations_;  // the inputs of each layer, then the logits
  std::vector<matrix> pulls_;        // for each layer's inputs; mostly empty
  float dropout_;
  std::uint64_t seed_;
};

}  // namespace fashion_mnist
