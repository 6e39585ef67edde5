#pragma once

#include "training.hpp"

namespace fashion_mnist {

/// Cross-entropy with the labels: how the teacher and the undistilled student are trained.
double learn_from_labels(const batch& batch, const matrix& logits, matrix& logit_gradient);

/// Distillation at one temperature: mostly the teacher's softened probabilities, partly the labels.
batch_loss learn_from_teacher(double temperature);

}  // namespace fashion_mnist
