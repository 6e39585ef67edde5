#pragma once

#include "dataset.hpp"

namespace fashion_mnist {

inline constexpr double softening_temperature = 4;

/// An image and the probabilities the teacher gives it, at temperature 1 and at softening_temperature.
struct soft_label {
  pixel_matrix pixels;  // one row
  index label;
  vector probabilities;
  vector softened;
};

/// For a reader: the first images, each of another class, that the teacher gets right but whose second choice
/// it gives at least 5 %.
std::vector<soft_label> pick_soft_labels(const labelled_images& images, const matrix& teacher_logits,
                                         std::size_t count);

}  // namespace fashion_mnist
