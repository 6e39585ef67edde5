#pragma once

#include <string>

#include "multilayer_perceptron.hpp"
#include "report/student_curriculum.hpp"
#include "training.hpp"

namespace fashion_mnist {

/// What a curriculum may ask for here: losses, and alignment of the student's only hidden layer with one of
/// the teacher's two.
report::curriculum_rules rules_for_curricula();

/// Cross-entropy with the labels, times the stage's loss weight: how the teacher and the undistilled student
/// are trained.
double learn_from_labels(const distill::cursor& now, const batch& batch, const matrix& logits,
                         matrix& logit_gradient);

/// What the curriculum has now for a student: its objectives, with their weights, at its temperature; and the
/// alignment of its hidden layers with the teacher's. Aligned layers find the same images alike: their loss
/// is distill::similarity_preserving, for which the widths need not be equal. The student outlives the
/// result.
batch_loss learn_as_planned(multilayer_perceptron& student);

}  // namespace fashion_mnist
