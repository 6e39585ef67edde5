#include <distill/dispatch.hpp>
#include <nlohmann/json.hpp>

#include "machine.hpp"
#include "report.hpp"
#include "summary.hpp"

namespace fashion_mnist {
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
                    {"epochs", to_json(students[seed].records)}});
  }
  return {{"test_accuracy", to_json(spread_of(test_scores(students, &scores::accuracy)))}, {"runs", runs}};
}

json to_json(const std::vector<temperature_trial>& trials) {
  json candidates = json::array();
  for (const temperature_trial& trial : trials) {
    candidates.push_back({{"temperature", trial.temperature},
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

}  // namespace

std::string json_report(const experiment_plan& plan, const results& outcome) {
  json report = {
      {"run", plan.name},
      {"machine", machine_name()},
      {"simd_target", distill::active_target()},
      {"seconds", outcome.seconds},
      {"temperature", outcome.temperature},
      {"temperature_trials", to_json(outcome.trials)},
      {"teacher",
       {{"cost", to_json(outcome.teacher_cost)},
        {"validation", to_json(outcome.teacher_validation)},
        {"test", to_json(outcome.teacher_test)}}},
      {"student", {{"cost", to_json(outcome.student_cost)}}},
      {"hard_labels", to_json(outcome.hard_label_students)},
      {"distilled", to_json(outcome.distilled_students)},
      {"test_accuracy_gain", to_json(spread_of(accuracy_gains(outcome)))},
  };
  if (outcome.routes.size() > 0) report["teacher"]["validation_images_by_class_and_expert"] = to_json(outcome.routes);
  return report.dump(2) + "\n";
}

}  // namespace fashion_mnist
