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
  if (plan.teacher == teacher_kind::mixture) {
    const mixture_shape& shape = plan.teacher_mixture;
    text << " mixture " << shape.hidden << ' ' << shape.expert_hidden << ", " << shape.experts << " experts, "
         << shape.experts_per_image << " per image, balance " << shape.balance << ", dropout " << shape.dropout;
  } else {
    for (index width : plan.teacher_perceptron.widths) text << ' ' << width;
    text << ", dropout " << plan.teacher_perceptron.dropout;
  }
  text << ", " << training.epochs << " epochs of "
       << plan.sizes.training << " images, batches of " << training.batch_size << ", learning rate "
       << training.learning_rate << ", mirror " << training.mirror << ", seed " << weight_seed;
  return text.str();
}

std::unique_ptr<network> new_teacher(const experiment_plan& plan) {
  if (plan.teacher == teacher_kind::mixture)
    return std::make_unique<mixture_of_experts>(plan.teacher_mixture, weight_seed);
  return std::make_unique<multilayer_perceptron>(plan.teacher_perceptron, weight_seed);
}

void train_teacher(network& teacher, const experiment_plan& plan, const dataset& data) {
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

std::unique_ptr<network> obtain_teacher(const experiment_plan& plan, const dataset& data,
                                        const std::filesystem::path& cache) {
  std::unique_ptr<network> teacher = new_teacher(plan);
  const std::filesystem::path file =
      cache / (std::string("teacher-") + name_of(plan.teacher) + "-" + plan.name + ".bin");
  if (std::filesystem::exists(file)) {
    try {
      read_parameters(file, recipe(plan), teacher->parameters());
      std::cout << "teacher: read from " << file.string() << "\n";
      return teacher;
    } catch (const std::runtime_error& error) {
      std::cout << error.what() << "; the teacher is trained again\n";
    }
  }
  train_teacher(*teacher, plan, data);
  write_parameters(file, recipe(plan), teacher->parameters());
  return teacher;
}

}  // namespace fashion_mnist
