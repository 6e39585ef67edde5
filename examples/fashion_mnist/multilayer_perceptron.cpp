#include "multilayer_perceptron.hpp"

#include <utility>

namespace fashion_mnist {

index parameter_count(const perceptron_shape& shape) {
  index count = 0;
  for (std::size_t i = 0; i + 1 < shape.widths.size(); ++i)
    count += (shape.widths[i] + 1) * shape.widths[i + 1];
  return count;
}

multilayer_perceptron::multilayer_perceptron(const perceptron_shape& shape, std::uint64_t seed)
    : network(parameter_count(shape)),
      activations_(shape.widths.size()),
      pulls_(shape.widths.size()),
      dropout_(shape.dropout),
      seed_(seed) {
  random_engine engine(seed);
  index offset = 0;
  for (std::size_t i = 0; i + 1 < shape.widths.size(); ++i) {
    layers_.push_back({shape.widths[i], shape.widths[i + 1], offset});
    layers_.back().initialise(parameters_, engine);
    offset += layers_.back().size();
  }
}

/// Before the ReLU.
matrix multilayer_perceptron::outputs(const matrix& inputs, std::size_t layer_count) const {
  matrix activations = inputs;
  for (std::size_t i = 0; i < layer_count; ++i) {
    if (i > 0) activations = activations.cwiseMax(0.0F);
    activations = activations * layers_[i].weights(parameters_);
    activations.rowwise() += layers_[i].biases(parameters_);
  }
  return activations;
}

matrix multilayer_perceptron::logits(const matrix& inputs) const { return outputs(inputs, layers_.size()); }

matrix multilayer_perceptron::hidden(const matrix& inputs, index layer) const {
  return outputs(inputs, static_cast<std::size_t>(layer) + 1).cwiseMax(0.0F);
}

void multilayer_perceptron::pull(index layer, matrix hidden_gradient) {
  matrix& pull = pulls_[static_cast<std::size_t>(layer) + 1];
  if (pull.size() == 0)
    pull = std::move(hidden_gradient);
  else
    pull += hidden_gradient;
}

const matrix& multilayer_perceptron::forward(const matrix& inputs, std::int64_t step) {
  random_engine engine = engine_of(seed_, step);
  activations_.front() = inputs;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    matrix& outputs = activations_[i + 1];
    outputs.resize(inputs.rows(), layers_[i].outputs);
    layers_[i].forward(parameters_, activations_[i], outputs);
    if (i + 1 == layers_.size()) break;
    outputs = outputs.cwiseMax(0.0F);
    if (dropout_ > 0) drop(outputs, dropout_, engine);
  }
  return activations_.back();
}

void multilayer_perceptron::backward(const matrix& logit_gradient) {
  const float kept_scale = 1 / (1 - dropout_);
  matrix output_gradient = logit_gradient;
  for (std::size_t i = layers_.size(); i-- > 0;) {
    layers_[i].backward(activations_[i], output_gradient, gradient_);
    if (i == 0) break;
    matrix input_gradient(output_gradient.rows(), layers_[i].inputs);
    layers_[i].input_gradient(parameters_, output_gradient, input_gradient);
    if (pulls_[i].size() > 0) input_gradient += std::exchange(pulls_[i], {});
    // A hidden activation is positive exactly where ReLU let it pass and dropout kept it.
    output_gradient = (activations_[i].array() > 0).select(kept_scale * input_gradient, 0.0F);
  }
}

}  // namespace fashion_mnist
