#include "experiment_plan.hpp"

namespace fashion_mnist {

const char* name_of(teacher_kind kind) { return kind == teacher_kind::mixture ? "mixture" : "perceptron"; }

experiment_plan full_plan() {
  return {.name = "full",
          .sizes = {},
          .teacher_perceptron = {.widths = {pixel_count, 800, 800, class_count}, .dropout = 0.2F},
          .teacher_mixture = {.dropout = 0.2F},
          .teaching = {.epochs = 14, .batch_size = 256, .learning_rate = 1e-3, .mirror = true},
          .student_shape = {.widths = {pixel_count, 64, class_count}},
          .student_batch_size = 128,
          .trial_seed_count = 3,
          .seed_count = 5};
}

experiment_plan quick_plan() {
  experiment_plan plan = full_plan();
  plan.name = "quick";
  plan.sizes = {.training = 10000, .validation = 2000, .test = 2000};
  plan.teaching.epochs = 6;
  plan.teaching.mirror = false;  // pays only over many epochs
  plan.trial_seed_count = 1;
  plan.seed_count = 2;
  return plan;
}

}  // namespace fashion_mnist
