#pragma once

#include <string>

#include "experiment_plan.hpp"
#include "resumable_training.hpp"

namespace fashion_mnist {

/// What all students of a run share.
struct classroom {
  const experiment_plan& plan;
  const dataset& data;
  const std::string& data_fingerprint;
  const teacher_answers& teacher;  // for each training image, computed once
  const safekeeping& keeping;
};

enum class lesson { labels, objectives };

struct assignment {
  std::string name;  // of its checkpoint
  std::uint64_t seed;
  const report::student_curriculum* curriculum;
  lesson learns_from;  // the labels alone, or the curriculum's objectives
};

struct trained_student {
  multilayer_perceptron model;
  history records;
  std::filesystem::path checkpoint;
};

/// Trains one student per assignment, two at a time, from where their checkpoints are. Two students with the
/// same seed and curriculum start from the same weights and see the same batches in the same order, with the
/// same learning rates; only the loss differs.
std::vector<trained_student> train_students(const classroom& room, const std::vector<assignment>& assignments,
                                            const std::string& title);

}  // namespace fashion_mnist
