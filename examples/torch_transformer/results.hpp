#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace torch_transformer {

struct scores {
  double nats = 0;  // mean negative log-likelihood of the target
  double accuracy = 0;
  double tokens_per_second = 0;  // of the forward call
};

struct epoch_record {
  double training_loss;  // mean over the epoch
  scores validation;
};

struct history {
  std::vector<epoch_record> epochs;
  double tokens_per_second = 0;  // of training, without evaluation
};

struct trained_model {
  history training;
  scores test;
};

/// Students trained in one way, by seed.
struct student_group {
  std::string name;  // of the curriculum, without its extension: "logits and attention"
  std::vector<trained_model> students;
};

struct task_results {
  trained_model teacher;
  std::int64_t teacher_parameters = 0, student_parameters = 0;
  std::int64_t active_parameters = 0;  // of the teacher, that a token meets
  std::vector<std::vector<std::int64_t>> picks =
      {};  // of the teacher's experts on the validation data, by layer
  std::vector<student_group> groups = {};
};

struct results {
  std::vector<task_results> tasks;
  double seconds = 0;
};

}  // namespace torch_transformer
