#include "multilayer_perceptron.hpp"

#include <cmath>
#include <type_traits>

#include "parallel.hpp"

namespace fashion_mnist {

index parameter_count(const perceptron_shape& shape) {
  index count = 0;
  for (std::size_t i = 0; i + 1 < shape.widths.size(); ++i)
    count += (shape.widths[i] + 1) * shape.widths[i + 1];
  return count;
}

template <class Storage>
auto multilayer_perceptron::weights(Storage& storage, const layer& layer) {
  using mapped = std::conditional_t<std::is_const_v<Storage>, const matrix, matrix>;
  return Eigen::Map<mapped>(storage.data() + layer.offset, layer.inputs, layer.outputs);
}

template <class Storage>
auto multilayer_perceptron::biases(Storage& storage, const layer& layer) {
  return storage.segment(layer.offset + layer.inputs * layer.outputs, layer.outputs).transpose();
}

multilayer_perceptron::multilayer_perceptron(const perceptron_shape& shape, std::uint64_t seed)
    : network(parameter_count(shape)),
      activations_(shape.widths.size()),
      dropout_(shape.dropout),
      engine_(seed) {
  index offset = 0;
  for (std::size_t i = 0; i + 1 < shape.widths.size(); ++i) {
    layers_.push_back({shape.widths[i], shape.widths[i + 1], offset});
    offset += (shape.widths[i] + 1) * shape.widths[i + 1];
  }
  parameters_.setZero();
  for (const layer& layer : layers_) {
    const float bound = std::sqrt(6.0F / static_cast<float>(layer.inputs));
    for (float& weight : weights(parameters_, layer).reshaped()) weight = bound * (2 * uniform(engine_) - 1);
  }
}

matrix multilayer_perceptron::logits(const matrix& inputs) const {
  matrix activations = inputs;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (i > 0) activations = activations.cwiseMax(0.0F);
    activations = activations * weights(parameters_, layers_[i]);
    activations.rowwise() += biases(parameters_, layers_[i]);
  }
  return activations;
}

void multilayer_perceptron::drop(matrix& activations) {
  const float kept_scale = 1 / (1 - dropout_);
  for (float& activation : activations.reshaped()) {
    activation = uniform(engine_) < dropout_ ? 0 : activation * kept_scale;
  }
}

const matrix& multilayer_perceptron::forward(const matrix& inputs) {
  activations_.front() = inputs;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    matrix& outputs = activations_[i + 1];
    outputs.resize(inputs.rows(), layers_[i].outputs);
    multiply(activations_[i], weights(parameters_, layers_[i]), outputs);
    outputs.rowwise() += biases(parameters_, layers_[i]);
    if (i + 1 == layers_.size()) break;
    outputs = outputs.cwiseMax(0.0F);
    if (dropout_ > 0) drop(outputs);
  }
  return activations_.back();
}

void multilayer_perceptron::backward(const matrix& logit_gradient) {
  const float kept_scale = 1 / (1 - dropout_);
  matrix output_gradient = logit_gradient;
  for (std::size_t i = layers_.size(); i-- > 0;) {
    multiply(activations_[i].transpose(), output_gradient, weights(gradient_, layers_[i]));
    biases(gradient_, layers_[i]) = output_gradient.colwise().sum();
    if (i == 0) break;
    matrix input_gradient(output_gradient.rows(), layers_[i].inputs);
    multiply(output_gradient, weights(parameters_, layers_[i]).transpose(), input_gradient);
    // A hidden activation is positive exactly where ReLU let it pass and dropout kept it.
    output_gradient = (activations_[i].array() > 0).select(kept_scale * input_gradient, 0.0F);
  }
}

}  // namespace fashion_mnist
