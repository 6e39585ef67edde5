#include "summary.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "report/spread.hpp"
#include "report/text.hpp"

namespace torch_transformer {
namespace {

using report::fixed;

bool is_text(const task_plan& plan) { return plan.kind == task_kind::text; }

template <class Value>
std::vector<double> by_seed(const std::vector<trained_model>& models, Value value) {
  std::vector<double> values;
  for (const trained_model& model : models) values.push_back(value(model));
  return values;
}

std::vector<std::string> row(const task_plan& plan, const std::string& name, std::int64_t parameters,
                             const std::vector<trained_model>& models) {
  const auto speed = [&](auto value) {
    return report::grouped(std::llround(report::spread_of(by_seed(models, value)).mean));
  };
  return {
      name,
      report::grouped(parameters),
      report::with_spread(by_seed(models, [&](const auto& m) { return quality(plan, m.test); }), 1,
                          is_text(plan) ? 3 : 2, is_text(plan) ? "" : " %"),
      is_text(plan)
          ? report::with_spread(by_seed(models, [](const auto& m) { return m.test.accuracy; }), 100, 2, " %")
          : report::with_spread(by_seed(models, [](const auto& m) { return m.test.nats; }), 1, 3, ""),
      speed([](const auto& m) { return m.training.tokens_per_second; }),
      speed([](const auto& m) { return m.test.tokens_per_second; })};
}

std::string verdict(const task_plan& plan, const student_group& group, const student_group& first) {
  std::vector<double> gains;
  for (std::size_t i = 0; i < group.students.size(); ++i)
    gains.push_back(quality(plan, group.students[i].test) - quality(plan, first.students[i].test));
  const auto better = std::count_if(gains.begin(), gains.end(),
                                    [&](double gain) { return is_text(plan) ? gain < 0 : gain > 0; });
  const report::spread gain = report::spread_of(gains);
  std::string text = "“" + group.name + "” changed the " + (is_text(plan) ? "bits per byte" : "accuracy") +
                     " of “" + first.name + "” by " + report::signed_fixed(gain.mean, is_text(plan) ? 3 : 2);
  if (gains.size() > 1) text += " ± " + fixed(gain.deviation, is_text(plan) ? 3 : 2);
  return text + (is_text(plan) ? "" : " percentage points") + "; it was better with " +
         std::to_string(better) + " of " + report::counted(std::ssize(gains), "seed") + ".";
}

}  // namespace

double quality(const task_plan& plan, const scores& of_model) {
  return is_text(plan) ? of_model.nats / std::numbers::ln2 : 100 * of_model.accuracy;
}

std::string quality_name(const task_plan& plan) { return is_text(plan) ? "bits per byte" : "test accuracy"; }

std::vector<std::string> column_names(const task_plan& plan) {
  return {"model",
          "parameters",
          quality_name(plan),
          is_text(plan) ? "next-byte accuracy" : "NLL",
          "training tokens/s",
          "inference tokens/s"};
}

std::vector<std::vector<std::string>> result_table(const task_plan& plan, const task_results& outcome) {
  std::vector<std::vector<std::string>> rows = {
      row(plan, "teacher", outcome.teacher_parameters, {outcome.teacher})};
  for (const student_group& group : outcome.groups)
    rows.push_back(row(plan, "student, " + group.name, outcome.student_parameters, group.students));
  return rows;
}

std::vector<std::string> verdicts(const task_plan& plan, const task_results& outcome) {
  std::vector<std::string> sentences;
  for (std::size_t i = 1; i < outcome.groups.size(); ++i)
    sentences.push_back(verdict(plan, outcome.groups[i], outcome.groups.front()));
  return sentences;
}

}  // namespace torch_transformer
