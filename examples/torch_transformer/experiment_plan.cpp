#include "experiment_plan.hpp"

namespace torch_transformer {
namespace {

task_plan text() {
  const transformer_shape teacher{.symbols = 256,
                                  .positions = 64,
                                  .classes = 256,
                                  .predicts_next = true,
                                  .width = 96,
                                  .heads = 4,
                                  .layers = 3,
                                  .hidden = 192,
                                  .experts = 8,
                                  .experts_per_token = 2};
  task_plan plan{.kind = task_kind::text,
                 .name = "Language model",
                 .teacher = teacher,
                 .student = teacher,
                 .batch_size = 16,
                 .steps_per_epoch = 120,
                 .teacher_epochs = 24,
                 .teacher_learning_rate = 0.003,
                 .student_learning_rate = 0.005,
                 .evaluation_batches = 10,
                 .test_batches = 1000};
  plan.student.width = 64;
  plan.student.heads = 2;
  plan.student.layers = 2;
  plan.student.hidden = 128;
  plan.student.experts = plan.student.experts_per_token = 1;
  return plan;
}

task_plan images() {
  task_plan plan = text();
  plan.kind = task_kind::images;
  plan.name = "Images";
  for (transformer_shape* shape : {&plan.teacher, &plan.student}) {
    shape->symbols = 0;
    shape->features = shape->positions = 28;
    shape->classes = 10;
    shape->predicts_next = false;
  }
  plan.batch_size = 32;
  plan.steps_per_epoch = 150;
  plan.teacher_epochs = 12;
  plan.student.width = 32;
  plan.student.hidden = 64;
  plan.evaluation_batches = 24;
  return plan;
}

}  // namespace

experiment_plan full_plan() { return {.name = "full", .seed_count = 3, .tasks = {text(), images()}}; }

experiment_plan quick_plan() {
  experiment_plan plan = full_plan();
  plan.name = "quick";
  plan.seed_count = 1;
  for (task_plan& task : plan.tasks) {
    task.steps_per_epoch = 4;
    task.teacher_epochs = 12;
    task.evaluation_batches = 2;
    task.test_batches = 4;
  }
  return plan;
}

}  // namespace torch_transformer
