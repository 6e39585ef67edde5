#include "experiment.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>

#include "loss_names.hpp"
#include "training.hpp"

namespace torch_transformer {
namespace {

constexpr std::uint64_t teacher_seed = 1000;  // the students' are 1, 2, ...

std::int64_t parameter_count(const transformer& model) {
  std::int64_t count = 0;
  for (const at::Tensor& one : model.parameters()) count += one.numel();
  return count;
}

/// What experts that a token does not meet have is left out.
std::int64_t active_parameter_count(const transformer& model) {
  const transformer_shape& shape = model.shape();
  const std::int64_t expert = 2 * shape.width * shape.hidden + shape.width + shape.hidden;
  return parameter_count(model) - shape.layers * (shape.experts - shape.experts_per_token) * expert;
}

/// The labels alone, for as long as the teacher trains.
distill::curriculum labels_only(std::int64_t epochs) {
  return {.stages = {{.name = "labels",
                      .length = {.unit = distill::length_unit::epochs, .amount = epochs},
                      .objectives = {{loss_names::cross_entropy, 1}}}}};
}

bool needs_teacher(const report::timeline& steps) {
  return std::any_of(steps.objectives.begin(), steps.objectives.end(),
                     [](const std::string& name) { return name != loss_names::cross_entropy; });
}

lesson lesson_of(const task_plan& plan, const distill::curriculum& curriculum, std::int64_t epochs,
                 double rate, std::uint64_t seed) {
  return {curriculum, epochs * plan.steps_per_epoch, plan.steps_per_epoch, plan.tokens_per_step(), rate,
          seed};
}

trained_model train_teacher(transformer& teacher, const task& data, const task_plan& plan) {
  report::progress line(plan.name + ", teacher", static_cast<int>(plan.teacher_epochs), 0);
  const lesson how = lesson_of(plan, labels_only(plan.teacher_epochs), plan.teacher_epochs,
                               plan.teacher_learning_rate, teacher_seed);
  trained_model result{train(teacher, nullptr, data, how, line), {}};
  result.test = evaluate(teacher, data.test);
  return result;
}

student_group train_group(transformer& teacher, const task& data, const task_plan& plan,
                          const report::student_curriculum& curriculum, int seeds) {
  student_group group{report::title_of(curriculum), {}};
  const std::int64_t epochs = report::epoch_count(std::ssize(curriculum.steps.moments), plan.steps_per_epoch);
  report::progress line(plan.name + ", " + group.name, static_cast<int>(epochs * seeds), 0);
  for (int seed = 1; seed <= seeds; ++seed) {
    transformer student(plan.student, static_cast<std::uint64_t>(seed));
    const lesson how = lesson_of(plan, curriculum.plan, epochs, plan.student_learning_rate,
                                 static_cast<std::uint64_t>(seed));
    history training = train(student, needs_teacher(curriculum.steps) ? &teacher : nullptr, data, how, line);
    group.students.push_back({std::move(training), evaluate(student, data.test)});
  }
  return group;
}

task_results run_task(const task_plan& plan, const std::vector<report::student_curriculum>& curricula,
                      const data_folders& folders, int seeds) {
  const task data =
      plan.kind == task_kind::text ? text_task(folders.text, plan) : image_task(folders.images, plan);
  transformer teacher(plan.teacher, teacher_seed);
  task_results result{.teacher = train_teacher(teacher, data, plan),
                      .teacher_parameters = parameter_count(teacher),
                      .student_parameters = parameter_count(transformer(plan.student, 0)),
                      .active_parameters = active_parameter_count(teacher)};
  teacher.take_picks();
  evaluate(teacher, data.validation);
  result.picks = teacher.take_picks();
  for (const report::student_curriculum& one : curricula)
    result.groups.push_back(train_group(teacher, data, plan, one, seeds));
  return result;
}

}  // namespace

results run_experiment(const experiment_plan& plan, const data_folders& folders, int threads) {
  at::set_num_threads(threads);
  const auto start = std::chrono::steady_clock::now();
  results outcome;
  for (std::size_t i = 0; i < plan.tasks.size(); ++i)
    outcome.tasks.push_back(run_task(plan.tasks[i], plan.curricula[i], folders, plan.seed_count));
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

}  // namespace torch_transformer
