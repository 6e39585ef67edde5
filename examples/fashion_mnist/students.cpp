#include "students.hpp"

#include <iostream>

#include "distillation.hpp"
#include "parallel.hpp"
#include "report/progress.hpp"
#include "report/text.hpp"

namespace fashion_mnist {

using namespace report;

namespace {

training_identity identity_of(const classroom& room, const assignment& task) {
  std::string widths;
  for (index width : room.plan.student_shape.widths) widths += std::to_string(width) + " ";
  const matrix& taught = room.teacher.logits;
  return {{"data", room.data_fingerprint},
          {"teacher", fingerprint(taught.data(), static_cast<std::size_t>(taught.size()) * sizeof(float))},
          {"architecture", widths + "dropout " + fixed(room.plan.student_shape.dropout, 3)},
          {"batches", std::to_string(room.plan.student_batch_size) + " images, mirror " +
                          std::to_string(room.plan.student_mirror)},
          {"seed", std::to_string(task.seed)},
          {"loss", task.learns_from == lesson::labels ? "labels" : "objectives"}};
}

std::vector<resumable_training> trainings_of(const classroom& room,
                                             const std::vector<assignment>& assignments,
                                             std::vector<trained_student>& students) {
  std::vector<resumable_training> trainings;
  trainings.reserve(assignments.size());
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const assignment& task = assignments[i];
    trainings.emplace_back(students[i].model, task.curriculum->plan,
                           "student-" + room.plan.name + "-" + task.name, identity_of(room, task),
                           room.keeping);
    students[i].checkpoint = trainings.back().file();
  }
  return trainings;
}

void report_earlier(const std::string& title, const std::vector<resumable_training>& trainings,
                    const std::filesystem::path& folder) {
  std::size_t finished = 0, begun = 0;
  for (const resumable_training& one : trainings) {
    if (one.is_finished())
      ++finished;
    else if (one.earlier_steps() > 0)
      ++begun;
  }
  if (finished + begun == 0) return;
  std::cout << title << ": goes on from the checkpoints in " << folder.string() << ": " << finished << " of "
            << trainings.size() << " are trained, " << begun << " in part\n";
}

}  // namespace

std::vector<trained_student> train_students(const classroom& room, const std::vector<assignment>& assignments,
                                            const std::string& title) {
  // Added to a student's seed so that its batches are not drawn with the numbers its weights were drawn with.
  constexpr std::uint64_t batch_seed_offset = 1'000'000;
  std::vector<trained_student> students;
  for (const assignment& task : assignments)
    students.push_back({multilayer_perceptron(room.plan.student_shape, task.seed), {}, {}});
  std::vector<resumable_training> trainings = trainings_of(room, assignments, students);
  report_earlier(title, trainings, room.keeping.folder);
  index epochs = 0, earlier_epochs = 0;
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    epochs += epoch_count(std::ssize(assignments[i].curriculum->steps.moments),
                          room.plan.student_steps_per_epoch());
    earlier_epochs += std::ssize(trainings[i].records());
  }
  progress line(title, static_cast<int>(epochs), static_cast<int>(earlier_epochs));
  run_in_parallel(static_cast<index>(assignments.size()), [&](index number) {
    const auto i = static_cast<std::size_t>(number);
    const assignment& task = assignments[i];
    batch_source batches(room.data.training, room.teacher, room.plan.student_batch_size,
                         room.plan.student_mirror, batch_seed_offset + task.seed);
    const batch_loss loss = task.learns_from == lesson::labels ? batch_loss(learn_from_labels)
                                                               : learn_as_planned(students[i].model);
    trainings[i].finish(batches, loss, room.data.validation, [&](const epoch_record& record) {
      line.advance("latest validation accuracy " + percent(record.validation.accuracy, 1));
    });
    students[i].records = trainings[i].records();
  });
  return students;
}

}  // namespace fashion_mnist
