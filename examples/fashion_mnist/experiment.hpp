#pragma once

#include <filesystem>
#include <vector>

#include "experiment_plan.hpp"
#include "soft_label.hpp"

namespace fashion_mnist {

/// Means over the students of a temperature, on the validation images.
struct temperature_trial {
  double temperature;
  double accuracy = 0;
  double negative_log_likelihood = 0;
};

struct student_result {
  history records;
  scores test;
};

struct model_cost {
  index parameters = 0;
  double microseconds_per_image = 0;
};

struct results {
  std::vector<temperature_trial> trials;
  double temperature = 0;  // of the trial with the highest accuracy
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
};

/// Obtains the teacher, chooses the temperature on the validation images, trains the students with hard
/// labels and distilled, and only then evaluates on the test images. The same plan on the same kind of
/// processor gives the same scores.
results run_experiment(const experiment_plan& plan, const dataset& data, const std::filesystem::path& cache);

}  // namespace fashion_mnist
