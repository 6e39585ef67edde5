#include "teacher.hpp"

#include <iostream>
#include <sstream>
#include <stdexcept>

#include "distillation.hpp"
#include "parameter_file.hpp"
#include "progress.hpp"
#include "text.hpp"

namespace fashion_mnist {
namespace {

// Far from the students' seeds 0, 1, 2, ...
constexpr std::uint64_t weight_seed = 5000;
constexpr std::uint64_t batch_seed = 5001;

/// Everything the parameters depend on, on one line.
std::string recipe(const experiment_plan& plan) {
  const training_plan& training = plan.teacher_training;
  std::ostringstream text;
  text << "teacher";
  for (index width : plan.teacher_shape.widths) text << ' ' << width;
  text << ", dropout " << plan.teacher_shape.dropout << ", " << training.epochs << " epochs of "
       << plan.sizes.training << " images, batches of " << training.batch_size << ", learning rate "
       << training.learning_rate << ", mirror " << training.mirror << ", seed " << weight_seed;
  return text.str();
}

void train_teacher(multilayer_perceptron& teacher, const experiment_plan& plan, const dataset& data) {
  const matrix nobody_teaches(0, class_count);
  batch_source batches(data.training, nobody_teaches, plan.teacher_training.batch_size,
                       plan.teacher_training.mirror, batch_seed);
  progress line("teacher", plan.teacher_training.epochs);
  train(teacher, batches, learn_from_labels, plan.teacher_training, data.validation,
        [&](const epoch_record& record) {
          line.advance("validation accuracy " + percent(record.validation.accuracy, 1));
        });
}

}  // namespace

multilayer_perceptron obtain_teacher(const experiment_plan& plan, const dataset& data,
                                     const std::filesystem::path& cache) {
  multilayer_perceptron teacher(plan.teacher_shape, weight_seed);
  const std::filesystem::path file = cache / ("teacher-" + plan.name + ".bin");
  if (std::filesystem::exists(file)) {
    try {
      read_parameters(file, recipe(plan), teacher.parameters());
      std::cout << "teacher: read from " << file.string() << "\n";
      return teacher;
    } catch (const std::runtime_error& error) {
      std::cout << error.what() << "; the teacher is trained again\n";
    }
  }
  train_teacher(teacher, plan, data);
  write_parameters(file, recipe(plan), teacher.parameters());
  return teacher;
}

}  // namespace fashion_mnist
