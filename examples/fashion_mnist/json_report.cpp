#include <distill/dispatch.hpp>
#include <distill/interop/json.hpp>
#include <nlohmann/json.hpp>

#include "report.hpp"
#include "report/machine.hpp"
#include "report/spread.hpp"
#include "summary.hpp"

namespace fashion_mnist {

using namespace report;

namespace {

using json = nlohmann::ordered_json;

json to_json(const scores& scores) {
  return {{"accuracy", scores.accuracy},
          {"negative_log_likelihood", scores.negative_log_likelihood},
          {"expected_calibration_error", scores.calibration_error}};
}

json to_json(const model_cost& cost) {
  return {{"parameters", cost.parameters}, {"microseconds_per_image", cost.microseconds_per_image}};
}

json to_json(const spread& spread) {
  return {{"mean", spread.mean}, {"standard_deviation", spread.deviation}};
}

json to_json(const history& records) {
  json epochs = json::array();
  for (const epoch_record& record : records) {
    epochs.push_back({{"training_loss", record.training_loss}, {"validation", to_json(record.validation)}});
  }
  return epochs;
}

json to_json(const std::vector<student_result>& students) {
  json runs = json::array();
  for (std::size_t seed = 0; seed < students.size(); ++seed) {
    runs.push_back({{"seed", seed},
                    {"test", to_json(students[seed].test)},
                    {"parameters_crc32", students[seed].parameters},
                    {"epochs", to_json(students[seed].records)}});
  }
  return {{"test_accuracy", to_json(spread_of(test_scores(students, &scores::accuracy)))}, {"runs", runs}};
}

json to_json(const std::vector<curriculum_trial>& trials) {
  json candidates = json::array();
  for (const curriculum_trial& trial : trials) {
    candidates.push_back({{"curriculum", trial.name},
                          {"validation_accuracy", trial.accuracy},
                          {"validation_negative_log_likelihood", trial.negative_log_likelihood}});
  }
  return candidates;
}

json to_json(const mixture_of_experts::counts& routes) {
  json classes = json::object();
  for (index label = 0; label < routes.rows(); ++label) {
    std::vector<std::int64_t> experts(static_cast<std::size_t>(routes.cols()));
    for (index e = 0; e < routes.cols(); ++e) experts[static_cast<std::size_t>(e)] = routes(label, e);
    classes[class_name(label)] = experts;
  }
  return classes;
}

json to_json(const student_curriculum& curriculum) {
  const timeline& steps = curriculum.steps;
  json stages = json::array(), objectives = json::object();
  for (const stage_span& stage : steps.stages)
    stages.push_back({{"name", stage.name}, {"first_step", stage.first_step}, {"steps", stage.steps}});
  const std::vector<std::int64_t> places = sampled_steps(steps);
  const auto values = [&](const auto& value) {
    json all = json::array();
    for (const std::int64_t step : places)
      all.push_back(value(steps.moments[static_cast<std::size_t>(step)]));
    return all;
  };
  for (std::size_t i = 0; i < steps.objectives.size(); ++i)
    objectives[steps.objectives[i]] = values([i](const moment& now) { return now.objectives[i]; });
  return {{"file", curriculum.name},
          {"plan", json::parse(distill::save_json(curriculum.plan))},
          {"stages", stages},
          {"schedules",
           {{"step", places},
            {"temperature", values([](const moment& now) { return now.temperature; })},
            {"learning_rate", values([](const moment& now) { return now.learning_rate; })},
            {"loss_weight", values([](const moment& now) { return now.loss_weight; })},
            {"objectives", objectives}}}};
}

}  // namespace

std::string json_report(const experiment_plan& plan, const results& outcome) {
  json report = {
      {"run", plan.name},
      {"machine", machine_name()},
      {"simd_target", distill::active_target()},
      {"seconds", outcome.seconds},
      {"curriculum", to_json(plan.curricula[outcome.curriculum])},
      {"curriculum_trials", to_json(outcome.trials)},
      {"teacher",
       {{"cost", to_json(outcome.teacher_cost)},
        {"validation", to_json(outcome.teacher_validation)},
        {"test", to_json(outcome.teacher_test)}}},
      {"student", {{"cost", to_json(outcome.student_cost)}}},
      {"hard_labels", to_json(outcome.hard_label_students)},
      {"distilled", to_json(outcome.distilled_students)},
      {"test_accuracy_gain", to_json(spread_of(accuracy_gains(outcome)))},
  };
  if (outcome.routes.size() > 0)
    report["teacher"]["validation_images_by_class_and_expert"] = to_json(outcome.routes);
  return report.dump(2) + "\n";
}

}  // namespace fashion_mnist
