#include "experiment.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "jobs.hpp"
#include "loss_names.hpp"
#include "report/progress.hpp"
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

/// A task while it is worked on.
struct classroom {
  const task_plan& plan;
  const std::vector<report::student_curriculum>& curricula;
  task data;
  transformer teacher;
  task_results& result;
};

std::vector<std::unique_ptr<classroom>> open_classrooms(const experiment_plan& plan,
                                                        const data_folders& folders, results& outcome) {
  outcome.tasks.resize(plan.tasks.size());
  std::vector<std::unique_ptr<classroom>> rooms;
  for (std::size_t i = 0; i < plan.tasks.size(); ++i) {
    const task_plan& one = plan.tasks[i];
    task data = one.kind == task_kind::text ? text_task(folders.text, one) : image_task(folders.images, one);
    rooms.emplace_back(new classroom{one, plan.curricula[i], std::move(data),
                                     transformer(one.teacher, teacher_seed), outcome.tasks[i]});
    task_results& result = outcome.tasks[i];
    result.teacher_parameters = parameter_count(rooms.back()->teacher);
    result.active_parameters = active_parameter_count(rooms.back()->teacher);
    result.student_parameters = parameter_count(transformer(one.student, 0));
    for (const report::student_curriculum& curriculum : plan.curricula[i])
      result.groups.push_back({report::title_of(curriculum),
                               std::vector<trained_model>(static_cast<std::size_t>(plan.seed_count))});
  }
  return rooms;
}

void train_teacher(classroom& room, report::progress& line) {
  const lesson how = lesson_of(room.plan, labels_only(room.plan.teacher_epochs), room.plan.teacher_epochs,
                               room.plan.teacher_learning_rate, teacher_seed);
  room.result.teacher.training = train(room.teacher, nullptr, room.data, how, [&](const std::string& detail) {
    line.advance(room.plan.name + ": " + detail);
  });
  room.result.teacher.test = evaluate(room.teacher, room.data.test);
  room.result.picks = count_picks(room.teacher, room.data.validation);
}

std::int64_t epochs_of(const classroom& room, const report::student_curriculum& curriculum) {
  return report::epoch_count(std::ssize(curriculum.steps.moments), room.plan.steps_per_epoch);
}

/// Students of one seed start from the same weights and see the same batches.
void train_student(classroom& room, std::size_t number, std::size_t seed_number, transformer& student,
                   report::progress& line) {
  const report::student_curriculum& curriculum = room.curricula[number];
  const lesson how = lesson_of(room.plan, curriculum.plan, epochs_of(room, curriculum),
                               room.plan.student_learning_rate, seed_number + 1);
  student_group& group = room.result.groups[number];
  trained_model& result = group.students[seed_number];
  result.training = train(
      student, needs_teacher(curriculum.steps) ? &room.teacher : nullptr, room.data, how,
      [&](const std::string& detail) { line.advance(room.plan.name + ", " + group.name + ": " + detail); });
  result.test = evaluate(student, room.data.test);
}

}  // namespace

results run_experiment(const experiment_plan& plan, const data_folders& folders, int threads) {
  const auto start = std::chrono::steady_clock::now();
  results outcome;
  const auto rooms = open_classrooms(plan, folders, outcome);
  std::int64_t teacher_epochs = 0, student_epochs = 0;
  std::vector<std::function<void()>> teachers, students;
  std::optional<report::progress> teacher_line, student_line;
  for (const auto& room : rooms) {
    teacher_epochs += room->plan.teacher_epochs;
    teachers.emplace_back([&] { train_teacher(*room, *teacher_line); });
    for (std::size_t number = 0; number < room->curricula.size(); ++number)
      for (std::size_t seed = 0; seed < static_cast<std::size_t>(plan.seed_count); ++seed) {
        student_epochs += epochs_of(*room, room->curricula[number]);
        // Made here, because the numbers that weights are drawn from are the whole program's.
        auto student = std::make_shared<transformer>(room->plan.student, seed + 1);
        students.emplace_back(
            [&, number, seed, student] { train_student(*room, number, seed, *student, *student_line); });
      }
  }
  teacher_line.emplace("teachers", static_cast<int>(teacher_epochs), 0);
  run_jobs(teachers, threads);
  student_line.emplace("students", static_cast<int>(student_epochs), 0);
  run_jobs(students, threads);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

}  // namespace torch_transformer
