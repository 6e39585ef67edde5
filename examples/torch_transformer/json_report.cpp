#include <distill/dispatch.hpp>
#include <distill/interop/json.hpp>
#include <nlohmann/json.hpp>

#include "report/machine.hpp"
#include "reports.hpp"
#include "summary.hpp"

namespace torch_transformer {
namespace {

using nlohmann::json;

json to_json(const scores& of_model) {
  return {{"nats", of_model.nats},
          {"accuracy", of_model.accuracy},
          {"tokens_per_second", of_model.tokens_per_second}};
}

json to_json(const trained_model& model) {
  json epochs = json::array();
  for (const epoch_record& epoch : model.training.epochs)
    epochs.push_back({{"training_loss", epoch.training_loss}, {"validation", to_json(epoch.validation)}});
  return {{"test", to_json(model.test)},
          {"epochs", epochs},
          {"training_tokens_per_second", model.training.tokens_per_second}};
}

json to_json(const student_group& group, const report::student_curriculum& curriculum) {
  json students = json::array();
  for (const trained_model& student : group.students) students.push_back(to_json(student));
  return {{"name", group.name},
          {"curriculum", json::parse(distill::save_json(curriculum.plan))},
          {"students", students}};
}

json to_json(const task_plan& plan, const std::vector<report::student_curriculum>& curricula,
             const task_results& outcome) {
  json groups = json::array();
  for (std::size_t i = 0; i < outcome.groups.size(); ++i)
    groups.push_back(to_json(outcome.groups[i], curricula[i]));
  return {{"name", plan.name},
          {"tokens_per_step", plan.tokens_per_step()},
          {"steps_per_epoch", plan.steps_per_epoch},
          {"teacher", to_json(outcome.teacher)},
          {"teacher_parameters", outcome.teacher_parameters},
          {"teacher_parameters_of_a_token", outcome.active_parameters},
          {"teacher_picks_by_layer_and_expert", outcome.picks},
          {"student_parameters", outcome.student_parameters},
          {"students", groups}};
}

}  // namespace

std::string json_report(const experiment_plan& plan, const results& outcome, int threads) {
  json tasks = json::array();
  for (std::size_t i = 0; i < plan.tasks.size(); ++i)
    tasks.push_back(to_json(plan.tasks[i], plan.curricula[i], outcome.tasks[i]));
  return json{{"run", plan.name},           {"machine", report::machine_name()},
              {"threads", threads},         {"simd_target", distill::active_target()},
              {"seconds", outcome.seconds}, {"tasks", tasks}}
             .dump(2) +
         "\n";
}

}  // namespace torch_transformer
