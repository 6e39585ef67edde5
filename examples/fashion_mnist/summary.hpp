#pragma once

#include <array>
#include <string>
#include <vector>

#include "experiment.hpp"

namespace fashion_mnist {

/// One score of every student, in the order of seeds.
std::vector<double> test_scores(const std::vector<student_result>& students, double scores::*score);

/// Test accuracy distilled minus hard labels, seed by seed.
std::vector<double> accuracy_gains(const results& outcome);

inline constexpr std::array column_names = {"model", "parameters",        "test accuracy",
                                            "NLL",   "calibration error", "µs per image"};
using table_row = std::array<std::string, column_names.size()>;

/// The result: teacher, student (hard labels), student (distilled).
std::vector<table_row> result_table(const results& outcome);

/// The table as text with aligned columns.
std::string plain_table(const std::vector<table_row>& rows);

/// One sentence: what distillation changed, in percentage points, and for how many seeds.
std::string verdict(const results& outcome);

}  // namespace fashion_mnist
