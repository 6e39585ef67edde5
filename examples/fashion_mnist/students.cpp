#include "students.hpp"

#include "parallel.hpp"
#include "progress.hpp"
#include "text.hpp"

namespace fashion_mnist {

std::vector<trained_student> train_students(const classroom& room, const std::vector<assignment>& assignments,
                                            const std::string& stage) {
  // Added to a student's seed so that its batches are not drawn with the numbers its weights were drawn with.
  constexpr std::uint64_t batch_seed_offset = 1'000'000;
  const training_plan& training = room.plan.student_training;
  std::vector<trained_student> students;
  for (const assignment& task : assignments) {
    students.push_back({multilayer_perceptron(room.plan.student_shape, task.seed), {}});
  }
  progress line(stage, static_cast<int>(assignments.size()) * training.epochs);
  run_in_parallel(static_cast<index>(assignments.size()), [&](index i) {
    const assignment& task = assignments[static_cast<std::size_t>(i)];
    trained_student& student = students[static_cast<std::size_t>(i)];
    batch_source batches(room.data.training, room.teacher_logits, training.batch_size, training.mirror,
                         batch_seed_offset + task.seed);
    student.records = train(
        student.model, batches, task.loss, training, room.data.validation, [&](const epoch_record& record) {
          line.advance("latest validation accuracy " + percent(record.validation.accuracy, 1));
        });
  });
  return students;
}

}  // namespace fashion_mnist
