#pragma once

#include <string>
#include <vector>

#include "dataset.hpp"
#include "mixture_of_experts.hpp"
#include "multilayer_perceptron.hpp"
#include "training.hpp"

namespace fashion_mnist {

enum class teacher_kind { perceptron, mixture };

/// "perceptron" or "mixture".
const char* name_of(teacher_kind kind);

/// Everything that is decided before a run.
struct experiment_plan {
  std::string name;
  dataset_sizes sizes;
  teacher_kind teacher = teacher_kind::perceptron;
  perceptron_shape teacher_perceptron;
  mixture_shape teacher_mixture;
  training_plan teacher_training;
  perceptron_shape student_shape;
  training_plan student_training;
  std::vector<double> temperatures;  // the run takes the one with the best mean validation accuracy
  int trial_seed_count;              // students per temperature to find it
  int seed_count;
};

/// The run whose numbers are worth quoting. Its widths, epochs, rates and dropout were chosen by trial on the
/// 5,000 validation images, for the hard-label student first; the test images had no part in it.
experiment_plan full_plan();

/// The same steps on fewer images, to see in seconds that everything works.
experiment_plan quick_plan();

}  // namespace fashion_mnist
