#include "dense_layer.hpp"

#include <cmath>

#include "parallel.hpp"

namespace fashion_mnist {

void dense_layer::initialise(vector& parameters, random_engine& engine) const {
  const float bound = std::sqrt(6.0F / static_cast<float>(inputs));
  for (float& weight : weights(parameters).reshaped()) weight = bound * (2 * uniform(engine) - 1);
  biases(parameters).setZero();
}

void dense_layer::forward(const vector& parameters, const rows& input, written_rows output) const {
  multiply(input, weights(parameters), output);
  output.rowwise() += biases(parameters);
}

void dense_layer::backward(const rows& input, const rows& output_gradient, vector& gradient) const {
  multiply(input.transpose(), output_gradient, weights(gradient));
  biases(gradient) = output_gradient.colwise().sum();
}

void dense_layer::input_gradient(const vector& parameters, const rows& output_gradient,
                                 written_rows result) const {
  multiply(output_gradient, weights(parameters).transpose(), result);
}

void drop(matrix& activations, float probability, random_engine& engine) {
  const float kept_scale = 1 / (1 - probability);
  for (float& activation : activations.reshaped()) {
    activation = uniform(engine) < probability ? 0 : activation * kept_scale;
  }
}

}  // namespace fashion_mnist
