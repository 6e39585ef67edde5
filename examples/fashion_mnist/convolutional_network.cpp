#include "convolutional_network.hpp"

#include "parallel.hpp"

namespace fashion_mnist {

index parameter_count(const convolutional_shape& shape) {
  const auto dense = [](index inputs, index outputs) { return (inputs + 1) * outputs; };
  const index places = image_side / 4 * (image_side / 4);
  return dense(9, shape.first_channels) + dense(9 * shape.first_channels, shape.second_channels) +
         dense(places * shape.second_channels, shape.hidden) + dense(shape.hidden, class_count);
}

convolutional_network::convolutional_network(const convolutional_shape& shape, std::uint64_t seed)
    : network(parameter_count(shape)), shape_(shape), seed_(seed) {
  random_engine engine(seed);
  index offset = 0;
  const auto dense = [&](index inputs, index outputs) {
    const dense_layer layer{inputs, outputs, offset};
    layer.initialise(parameters_, engine);
    offset += layer.size();
    return layer;
  };
  first_ = {image_side, dense(9, shape.first_channels)};
  second_ = {image_side / 2, dense(9 * shape.first_channels, shape.second_channels)};
  dense_ = dense(second_.output_width(), shape.hidden);
  classes_ = dense(shape.hidden, class_count);
}

const matrix& convolutional_network::convolve(const matrix& inputs, half& pass) const {
  first_.forward(parameters_, inputs, pass.first);
  second_.forward(parameters_, pass.first.pooled, pass.second);
  return pass.second.pooled;
}

matrix convolutional_network::hidden(const matrix& inputs, index layer) const {
  half pass;
  const matrix& features = convolve(inputs, pass);
  if (layer == 0) return features;
  matrix result(inputs.rows(), shape_.hidden);
  dense_.forward(parameters_, features, result);
  return result.cwiseMax(0.0F);
}

matrix convolutional_network::logits(const matrix& inputs) const {
  matrix result(inputs.rows(), class_count);
  classes_.forward(parameters_, hidden(inputs, 1), result);
  return result;
}

/// Calls task(half, first row, rows) for both halves of a batch, each on a thread of its own.
template <class Task>
void convolutional_network::for_each_half(index images, const Task& task) {
  const index most = (images + 1) / 2;
  run_in_parallel(2, [&](index i) {
    task(halves_[static_cast<std::size_t>(i)], i * most, std::min(most, images - i * most));
  });
}

const matrix& convolutional_network::forward(const matrix& inputs, std::int64_t step) {
  random_engine engine = engine_of(seed_, step);
  features_.resize(inputs.rows(), second_.output_width());
  for_each_half(inputs.rows(), [&](half& pass, index first, index rows) {
    features_.middleRows(first, rows) = convolve(inputs.middleRows(first, rows), pass);
  });
  hidden_.resize(inputs.rows(), shape_.hidden);
  dense_.forward(parameters_, features_, hidden_);
  hidden_ = hidden_.cwiseMax(0.0F);
  if (shape_.dropout > 0) drop(hidden_, shape_.dropout, engine);
  logits_.resize(inputs.rows(), class_count);
  classes_.forward(parameters_, hidden_, logits_);
  return logits_;
}

void convolutional_network::backward(const matrix& logit_gradient) {
  const index images = logit_gradient.rows();
  classes_.backward(hidden_, logit_gradient, gradient_);
  matrix hidden_gradient(images, shape_.hidden), feature_gradient(images, features_.cols());
  classes_.input_gradient(parameters_, logit_gradient, hidden_gradient);
  const float kept_scale = 1 / (1 - shape_.dropout);
  hidden_gradient = (hidden_.array() > 0).select(kept_scale * hidden_gradient, 0.0F);
  dense_.backward(features_, hidden_gradient, gradient_);
  dense_.input_gradient(parameters_, hidden_gradient, feature_gradient);
  const index convolved = first_.filter.size() + second_.filter.size();
  for_each_half(images, [&](half& pass, index first, index rows) {
    pass.gradient.resize(convolved);
    const matrix output_gradient =
        second_.backward(pass.second, feature_gradient.middleRows(first, rows), pass.gradient);
    first_.backward(pass.first, second_.input_gradient(parameters_, output_gradient), pass.gradient);
  });
  gradient_.head(convolved) = halves_[0].gradient + halves_[1].gradient;
}

}  // namespace fashion_mnist
