#include "summary.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "report/spread.hpp"
#include "report/text.hpp"

namespace fashion_mnist {

using namespace report;

namespace {

table_row student_row(const std::string& name, const model_cost& cost,
                      const std::vector<student_result>& students) {
  return {name,
          grouped(cost.parameters),
          with_spread(test_scores(students, &scores::accuracy), 100, 2, " %"),
          with_spread(test_scores(students, &scores::negative_log_likelihood), 1, 3, ""),
          with_spread(test_scores(students, &scores::calibration_error), 100, 2, " %"),
          fixed(cost.microseconds_per_image, 2)};
}

}  // namespace

std::vector<double> test_scores(const std::vector<student_result>& students, double scores::*score) {
  std::vector<double> values;
  for (const student_result& student : students) values.push_back(student.test.*score);
  return values;
}

std::vector<double> accuracy_gains(const results& outcome) {
  std::vector<double> gains = test_scores(outcome.distilled_students, &scores::accuracy);
  for (std::size_t i = 0; i < gains.size(); ++i) gains[i] -= outcome.hard_label_students[i].test.accuracy;
  return gains;
}

std::vector<table_row> result_table(const results& outcome) {
  return {{"teacher", grouped(outcome.teacher_cost.parameters), percent(outcome.teacher_test.accuracy, 2),
           fixed(outcome.teacher_test.negative_log_likelihood, 3),
           percent(outcome.teacher_test.calibration_error, 2),
           fixed(outcome.teacher_cost.microseconds_per_image, 2)},
          student_row("student, hard labels", outcome.student_cost, outcome.hard_label_students),
          student_row("student, distilled", outcome.student_cost, outcome.distilled_students)};
}

std::string plain_table(const std::vector<table_row>& rows) {
  std::vector<std::vector<std::string>> lines = {{column_names.begin(), column_names.end()}};
  for (const table_row& row : rows) lines.emplace_back(row.begin(), row.end());
  return aligned(lines);
}

std::string verdict(const results& outcome) {
  const std::vector<double> gains = accuracy_gains(outcome);
  const spread gain = spread_of(gains);
  const auto better = std::count_if(gains.begin(), gains.end(), [](double value) { return value > 0; });
  std::string text =
      "Distillation changed the student's test accuracy by " + signed_fixed(100 * gain.mean, 2);
  if (gains.size() > 1) text += " ± " + fixed(100 * gain.deviation, 2);
  return text + " percentage points; it was better with " + std::to_string(better) + " of " +
         counted(std::ssize(gains), "seed") + ".";
}

}  // namespace fashion_mnist
