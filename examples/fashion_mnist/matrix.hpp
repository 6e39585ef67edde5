#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "data/idx_file.hpp"

namespace fashion_mnist {

/// One row per image: inputs, activations, logits and their gradients.
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using vector = Eigen::VectorXf;
/// One row per image, grey values 0..255 as stored in the files.
using pixel_matrix = Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using label_vector = std::vector<std::uint8_t>;
using index = Eigen::Index;

using data::class_count;
using data::image_side;
using data::pixel_count;

}  // namespace fashion_mnist
