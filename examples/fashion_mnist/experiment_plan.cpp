#include "experiment_plan.hpp"

namespace fashion_mnist {

const char* name_of(teacher_kind kind) {
  switch (kind) {
    case teacher_kind::mixture:
      return "mixture";
    case teacher_kind::perceptron:
      return "perceptron";
    default:
      return "convolutional";
  }
}

experiment_plan full_plan() {
  return {.name = "full",
          .sizes = {},
          .teacher_convolutional = {.dropout = 0.3F},
          .teacher_perceptron = {.widths = {pixel_count, 800, 800, class_count}, .dropout = 0.2F},
          .teacher_mixture = {.dropout = 0.2F},
          .teaching = {.epochs = 10, .batch_size = 128, .learning_rate = 1e-3, .mirror = true},
          .student_shape = {.widths = {pixel_count, 64, class_count}},
          .student_batch_size = 128,
          .student_mirror = true,
          .trial_seed_count = 3,
          .seed_count = 5};
}

experiment_plan quick_plan() {
  experiment_plan plan = full_plan();
  plan.name = "quick";
  plan.sizes = {.training = 10000, .validation = 2000, .test = 2000};
  plan.teaching.epochs = 5;
  plan.teaching.mirror = plan.student_mirror = false;  // pays only over many epochs
  plan.trial_seed_count = 1;
  plan.seed_count = 2;
  return plan;
}

void choose_teacher(experiment_plan& plan, teacher_kind kind) {
  plan.teacher = kind;
  if (kind == teacher_kind::convolutional) return;
  plan.teaching.batch_size = 256;
  plan.teaching.epochs = plan.name == "quick" ? 6 : 14;
}

}  // namespace fashion_mnist
