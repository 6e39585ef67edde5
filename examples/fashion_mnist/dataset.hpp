#pragma once

#include <filesystem>

#include "matrix.hpp"

namespace fashion_mnist {

struct labelled_images {
  pixel_matrix pixels;
  label_vector labels;

  index size() const { return pixels.rows(); }
};

/// Fashion-MNIST in the three parts of an honest experiment: weights are fitted on `training`, everything
/// else that is chosen is chosen on `validation`, and `test` is looked at once.
struct dataset {
  labelled_images training;
  labelled_images validation;
  labelled_images test;
};

/// How many of the 60,000 training images and of the 10,000 test images to use.
struct dataset_sizes {
  index training = 55000;
  index validation = 5000;
  index test = 10000;
};

/// Reads the four gzipped IDX files of `folder`; validation images are the last ones of the training file.
dataset load_dataset(const std::filesystem::path& folder, const dataset_sizes& sizes);

/// The name of a class: 0 is "T-shirt/top".
const char* class_name(index label);

/// Grey values as network inputs: zero mean and unit variance over the training images.
matrix network_inputs(const pixel_matrix& pixels);

}  // namespace fashion_mnist
