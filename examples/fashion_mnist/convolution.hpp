#pragma once

#include "dense_layer.hpp"

namespace fashion_mnist {

/// A 3 × 3 convolution with a border of zeros, ReLU, and the largest of every 2 × 2 places. A row holds an
/// image place by place, the channels of a place side by side: [images, side side channels] becomes
/// [images, side/2 side/2 channels].
struct convolution {
  index side;          // of the image, even
  dense_layer filter;  // from a place's 9 neighbours to the new channels

  index input_channels() const { return filter.inputs / 9; }
  index input_width() const { return side * side * input_channels(); }
  index output_width() const { return side / 2 * (side / 2) * filter.outputs; }

  /// What backward needs of a forward.
  struct trace {
    matrix neighbours;  // [images side side, 9 channels]
    Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> winners;  // of 4; 4: none
    matrix pooled;                                                                         // the output
  };

  void forward(const vector& parameters, const dense_layer::rows& images, trace& pass) const;
  /// Writes dLoss/dFilter, given dLoss/dPooled; returns what input_gradient needs.
  matrix backward(const trace& pass, const dense_layer::rows& pooled_gradient, vector& gradient) const;
  matrix input_gradient(const vector& parameters, const matrix& of_backward) const;
};

}  // namespace fashion_mnist
