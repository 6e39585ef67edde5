#pragma once

#include <string>
#include <vector>

#include "experiment_plan.hpp"
#include "results.hpp"

namespace torch_transformer {

/// Bits per byte of a language model, or else the accuracy in percent, of one model.
double quality(const task_plan& plan, const scores& of_model);

/// "bits per byte" or "test accuracy".
std::string quality_name(const task_plan& plan);

/// One row for the teacher and for each way to train a student.
std::vector<std::string> column_names(const task_plan& plan);
std::vector<std::vector<std::string>> result_table(const task_plan& plan, const task_results& outcome);

/// One sentence for each group after the first: what it changed against the first, and for how many seeds.
std::vector<std::string> verdicts(const task_plan& plan, const task_results& outcome);

}  // namespace torch_transformer
