#pragma once

#include <string>
#include <vector>

#include "convolutional_network.hpp"
#include "dataset.hpp"
#include "mixture_of_experts.hpp"
#include "multilayer_perceptron.hpp"
#include "report/student_curriculum.hpp"

namespace fashion_mnist {

enum class teacher_kind { convolutional, perceptron, mixture };

/// "convolutional", "perceptron" or "mixture".
const char* name_of(teacher_kind kind);

/// How the teacher is trained, on labels alone.
struct teacher_training {
  int epochs = 1;
  index batch_size = 256;
  double learning_rate = 1e-3;  // falls to 0 along half a cosine
  bool mirror = false;          // see batch_source
};

/// Everything that is decided before a run.
struct experiment_plan {
  std::string name;
  dataset_sizes sizes;
  teacher_kind teacher = teacher_kind::convolutional;
  convolutional_shape teacher_convolutional;
  perceptron_shape teacher_perceptron;
  mixture_shape teacher_mixture;
  teacher_training teaching;
  perceptron_shape student_shape;
  index student_batch_size = 128;
  bool student_mirror = false;  // see batch_source; the teacher is then asked about mirrored images too
  int trial_seed_count = 1;     // students per curriculum to choose one, where there are several
  int seed_count = 1;
  /// Of the students; of several the run takes the one with the best mean validation accuracy.
  std::vector<report::student_curriculum> curricula = {};

  index student_steps_per_epoch() const { return sizes.training / student_batch_size; }
};

/// The run whose numbers are worth quoting, but for its curricula. Its widths, epochs, rates and dropout were
/// chosen by trial on the 5,000 validation images, for the hard-label student first; the test images had no
/// part in it.
experiment_plan full_plan();

/// The same steps on fewer images, to see in seconds that everything works.
experiment_plan quick_plan();

/// Chooses the teacher, and how one of that kind is trained.
void choose_teacher(experiment_plan& plan, teacher_kind kind);

}  // namespace fashion_mnist
