#pragma once

#include <filesystem>
#include <vector>

#include "experiment_plan.hpp"
#include "resumable_training.hpp"
#include "soft_label.hpp"

namespace fashion_mnist {

/// Means over the students of a curriculum, on the validation images.
struct curriculum_trial {
  std::string name;
  double accuracy = 0;
  double negative_log_likelihood = 0;
};

struct student_result {
  history records;
  scores test;
  std::string parameters;  // their fingerprint
};

struct model_cost {
  index parameters = 0;
  double microseconds_per_image = 0;
};

struct results {
  std::vector<curriculum_trial> trials;  // empty where there was nothing to choose
  std::size_t curriculum = 0;            // of the plan's: the trial with the highest accuracy
  model_cost teacher_cost = {};
  model_cost student_cost = {};
  scores teacher_validation = {};
  scores teacher_test = {};
  std::vector<student_result> hard_label_students;  // by seed
  std::vector<student_result> distilled_students;   // by seed
  std::vector<soft_label> soft_labels;
  /// Validation images by class and expert; empty if the teacher has no experts.
  mixture_of_experts::counts routes = {};
  double seconds = 0;
  /// Of the students; of no use once the results are kept.
  std::vector<std::filesystem::path> checkpoints;
};

/// Obtains the teacher, chooses the curriculum on the validation images if there are several, trains the
/// students with hard labels and distilled, and only then evaluates on the test images. The same plan on the
/// same kind of processor gives the same scores, however often the run was stopped in between.
/// Throws interrupted when asked to stop, checkpoint_error for a broken checkpoint.
results run_experiment(const experiment_plan& plan, const dataset& data, const safekeeping& keeping);

}  // namespace fashion_mnist
