#pragma once

#include <string>

#include "experiment_plan.hpp"

namespace fashion_mnist {

/// What all students of a run share.
struct classroom {
  const experiment_plan& plan;
  const dataset& data;
  const matrix& teacher_logits;  // one row per training image, computed once
};

struct assignment {
  std::uint64_t seed;
  batch_loss loss;
};

struct trained_student {
  multilayer_perceptron model;
  history records;
};

/// Trains one student per assignment, two at a time. Two students with the same seed start from the same
/// weights and see the same batches in the same order; only the loss differs.
std::vector<trained_student> train_students(const classroom& room, const std::vector<assignment>& assignments,
                                            const std::string& stage);

}  // namespace fashion_mnist
