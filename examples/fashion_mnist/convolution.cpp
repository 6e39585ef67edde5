#include "convolution.hpp"

#include <algorithm>

namespace fashion_mnist {
namespace {

/// Calls visit(channels of the image at a neighbouring place or nullptr, channels of that neighbour) for the
/// 9 neighbours of every place, in the order of the rows of `neighbours`.
template <class Image, class Neighbours, class Visit>
void for_each_neighbour(index side, index channels, Image* image, Neighbours* neighbours,
                        const Visit& visit) {
  for (index place = 0; place < side * side; ++place) {
    for (index y = place / side - 1; y <= place / side + 1; ++y) {
      for (index x = place % side - 1; x <= place % side + 1; ++x, neighbours += channels) {
        const bool is_inside = y >= 0 && y < side && x >= 0 && x < side;
        visit(is_inside ? image + (y * side + x) * channels : nullptr, neighbours);
      }
    }
  }
}

/// Calls visit(row of the first of 4 places, row of the pooled place).
template <class Visit>
void for_each_pool(index images, index side, const Visit& visit) {
  index pooled = 0;
  for (index row = 0; row < images * side; row += 2)
    for (index x = 0; x < side; x += 2) visit(row * side + x, pooled++);
}

/// How far the q-th of 4 places is from the first.
index step_to(std::uint8_t q, index side) { return (q >> 1) * side + (q & 1); }

void pool(const matrix& outputs, index images, index side, convolution::trace& pass) {
  const index channels = outputs.cols();
  matrix pooled(outputs.rows() / 4, channels);
  pass.winners.resize(pooled.rows(), channels);
  for_each_pool(images, side, [&](index first, index to) {
    float* best = pooled.row(to).data();
    std::uint8_t* winner = pass.winners.row(to).data();
    std::fill(best, best + channels, 0.0F);  // ReLU
    std::fill(winner, winner + channels, std::uint8_t{4});
    for (std::uint8_t q = 0; q < 4; ++q) {
      const float* candidate = outputs.row(first + step_to(q, side)).data();
      for (index c = 0; c < channels; ++c) {
        const bool wins = candidate[c] > best[c];
        best[c] = wins ? candidate[c] : best[c];
        winner[c] = wins ? q : winner[c];
      }
    }
  });
  pass.pooled = pooled.reshaped<Eigen::RowMajor>(images, pooled.size() / images);
}

}  // namespace

void convolution::forward(const vector& parameters, const dense_layer::rows& images, trace& pass) const {
  const index channels = input_channels();
  pass.neighbours.resize(images.rows() * side * side, filter.inputs);
  for (index i = 0; i < images.rows(); ++i)
    for_each_neighbour(side, channels, images.row(i).data(), pass.neighbours.row(i * side * side).data(),
                       [channels](const float* from, float* to) {
                         if (from == nullptr)
                           std::fill(to, to + channels, 0.0F);
                         else
                           std::copy(from, from + channels, to);
                       });
  matrix outputs = pass.neighbours * filter.weights(parameters);
  outputs.rowwise() += filter.biases(parameters);
  pool(outputs, images.rows(), side, pass);
}

matrix convolution::backward(const trace& pass, const dense_layer::rows& pooled_gradient,
                             vector& gradient) const {
  const index channels = filter.outputs;
  matrix output_gradient = matrix::Zero(pass.neighbours.rows(), channels);
  const matrix places = pooled_gradient.reshaped<Eigen::RowMajor>(pass.winners.rows(), channels);
  for_each_pool(pooled_gradient.rows(), side, [&](index first, index from) {
    for (index c = 0; c < channels; ++c)
      if (const std::uint8_t q = pass.winners(from, c); q < 4)
        output_gradient(first + step_to(q, side), c) = places(from, c);
  });
  filter.weights(gradient).noalias() = pass.neighbours.transpose() * output_gradient;
  filter.biases(gradient) = output_gradient.colwise().sum();
  return output_gradient;
}

matrix convolution::input_gradient(const vector& parameters, const matrix& of_backward) const {
  const index channels = input_channels(), images = of_backward.rows() / (side * side);
  const matrix neighbours = of_backward * filter.weights(parameters).transpose();
  matrix result = matrix::Zero(images, input_width());
  for (index i = 0; i < images; ++i)
    for_each_neighbour(side, channels, result.row(i).data(), neighbours.row(i * side * side).data(),
                       [channels](float* to, const float* from) {
                         for (index c = 0; to != nullptr && c < channels; ++c) to[c] += from[c];
                       });
  return result;
}

}  // namespace fashion_mnist
