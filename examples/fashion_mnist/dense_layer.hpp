#pragma once

#include <type_traits>

#include "matrix.hpp"
#include "random.hpp"

namespace fashion_mnist {

/// A fully connected layer: weights [inputs, outputs], then biases, from `offset` on in a network's
/// parameters and, in the same places, its gradient.
struct dense_layer {
  index inputs;
  index outputs;
  index offset;

  index size() const { return (inputs + 1) * outputs; }

  template <class Storage>
  auto weights(Storage& storage) const {
    using mapped = std::conditional_t<std::is_const_v<Storage>, const matrix, matrix>;
    return Eigen::Map<mapped>(storage.data() + offset, inputs, outputs);
  }
  template <class Storage>
  auto biases(Storage& storage) const {
    return storage.segment(offset + inputs * outputs, outputs).transpose();
  }

  /// Weights uniform in ±sqrt(6 / inputs) (He et al. 2015, arXiv 1502.01852), biases zero.
  void initialise(vector& parameters, random_engine& engine) const;

  using rows = Eigen::Ref<const matrix>;
  using written_rows = Eigen::Ref<matrix>;

  void forward(const vector& parameters, const rows& input, written_rows output) const;
  /// Writes dLoss/dWeights and dLoss/dBiases.
  void backward(const rows& input, const rows& output_gradient, vector& gradient) const;
  void input_gradient(const vector& parameters, const rows& output_gradient, written_rows result) const;
};

/// Inverted dropout: each activation becomes 0 with the given probability, the others grow to make up for it.
void drop(matrix& activations, float probability, random_engine& engine);

}  // namespace fashion_mnist
