#include "teacher.hpp"

#include <iostream>
#include <sstream>

#include "distillation.hpp"
#include "report/progress.hpp"
#include "report/text.hpp"

namespace fashion_mnist {

using namespace report;

namespace {

// Far from the students' seeds 0, 1, 2, ...
constexpr std::uint64_t weight_seed = 5000;
constexpr std::uint64_t batch_seed = 5001;

distill::curriculum curriculum_of(const teacher_training& training, index steps_per_epoch) {
  distill::stage stage{.name = "labels", .objectives = {{"cross_entropy", 1}}};
  stage.length = {.unit = distill::length_unit::epochs, .amount = training.epochs};
  return {.stages = {stage},
          .learning_rate = distill::cosine_schedule{
              .from = training.learning_rate, .to = 0, .steps = training.epochs * steps_per_epoch}};
}

std::string architecture(const experiment_plan& plan) {
  std::ostringstream text;
  if (plan.teacher == teacher_kind::mixture) {
    const mixture_shape& shape = plan.teacher_mixture;
    text << "mixture " << shape.hidden << ' ' << shape.expert_hidden << ", " << shape.experts << " experts, "
         << shape.experts_per_image << " per image, balance " << shape.balance << ", dropout "
         << shape.dropout;
  } else if (plan.teacher == teacher_kind::convolutional) {
    const convolutional_shape& shape = plan.teacher_convolutional;
    text << "convolutional " << shape.first_channels << ' ' << shape.second_channels << ' ' << shape.hidden
         << ", dropout " << shape.dropout;
  } else {
    text << "perceptron";
    for (index width : plan.teacher_perceptron.widths) text << ' ' << width;
    text << ", dropout " << plan.teacher_perceptron.dropout;
  }
  return text.str();
}

training_identity identity_of(const experiment_plan& plan, const std::string& data_fingerprint) {
  return {{"data", data_fingerprint},
          {"architecture", architecture(plan)},
          {"batches", std::to_string(plan.teaching.batch_size) + " images, mirror " +
                          std::to_string(plan.teaching.mirror)},
          {"seed", std::to_string(weight_seed)}};
}

std::unique_ptr<network> new_teacher(const experiment_plan& plan) {
  if (plan.teacher == teacher_kind::mixture)
    return std::make_unique<mixture_of_experts>(plan.teacher_mixture, weight_seed);
  if (plan.teacher == teacher_kind::perceptron)
    return std::make_unique<multilayer_perceptron>(plan.teacher_perceptron, weight_seed);
  return std::make_unique<convolutional_network>(plan.teacher_convolutional, weight_seed);
}

}  // namespace

std::unique_ptr<network> obtain_teacher(const experiment_plan& plan, const dataset& data,
                                        const std::string& data_fingerprint, const safekeeping& keeping) {
  std::unique_ptr<network> teacher = new_teacher(plan);
  const teacher_answers nobody_teaches;
  batch_source batches(data.training, nobody_teaches, plan.teaching.batch_size, plan.teaching.mirror,
                       batch_seed);
  const distill::curriculum curriculum = curriculum_of(plan.teaching, batches.batches_per_epoch());
  resumable_training training(*teacher, curriculum,
                              std::string("teacher-") + name_of(plan.teacher) + "-" + plan.name,
                              identity_of(plan, data_fingerprint), keeping);
  if (training.is_finished()) {
    std::cout << "teacher: read from " << training.file().string() << "\n";
    return teacher;
  }
  if (training.earlier_steps() > 0)
    std::cout << "teacher: goes on after step " << grouped(training.earlier_steps()) << " from "
              << training.file().string() << "\n";
  progress line("teacher", plan.teaching.epochs, static_cast<int>(training.records().size()));
  training.finish(batches, learn_from_labels, data.validation, [&](const epoch_record& record) {
    line.advance("validation accuracy " + percent(record.validation.accuracy, 1));
  });
  return teacher;
}

}  // namespace fashion_mnist
