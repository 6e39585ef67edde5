#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/student_curriculum.hpp"
#include "transformer_shape.hpp"

namespace torch_transformer {

enum class task_kind { text, images };

/// One task: its models and how they are trained. An epoch is a number of steps, that of the curricula.
struct task_plan {
  task_kind kind;
  std::string name;
  transformer_shape teacher, student;
  std::int64_t batch_size;  // samples
  std::int64_t steps_per_epoch;
  std::int64_t teacher_epochs;
  double teacher_learning_rate, student_learning_rate;  // the highest
  std::int64_t evaluation_batches;                      // of the validation data
  std::int64_t test_batches;

  std::int64_t tokens_per_step() const { return batch_size * teacher.positions; }
};

struct experiment_plan {
  std::string name;
  int seed_count;
  std::vector<task_plan> tasks;
  std::vector<std::vector<report::student_curriculum>> curricula =
      {};  // by task: the ways to train a student
};

experiment_plan full_plan();
/// A few steps, to see that everything works.
experiment_plan quick_plan();

}  // namespace torch_transformer
