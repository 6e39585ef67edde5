#pragma once

#include <string>

#include "training.hpp"

namespace fashion_mnist {

/// The losses that a curriculum may name in its objectives.
std::vector<std::string> known_losses();

/// Cross-entropy with the labels, times the stage's loss weight: how the teacher and the undistilled student
/// are trained.
double learn_from_labels(const distill::cursor& now, const batch& batch, const matrix& logits,
                         matrix& logit_gradient);

/// The objectives that the curriculum has now, with their weights, at its temperature.
double learn_as_planned(const distill::cursor& now, const batch& batch, const matrix& logits,
                        matrix& logit_gradient);

}  // namespace fashion_mnist
