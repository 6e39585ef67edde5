#include "experiment.hpp"

#include <algorithm>
#include <chrono>

#include "interruption.hpp"
#include "students.hpp"
#include "teacher.hpp"

namespace fashion_mnist {

using namespace report;

namespace {

std::string fingerprint_of(const dataset& data) {
  std::string text;
  for (const labelled_images* part : {&data.training, &data.validation})
    text += fingerprint(part->pixels.data(), static_cast<std::size_t>(part->pixels.size())) + " " +
            fingerprint(part->labels.data(), part->labels.size()) + " ";
  return text;
}

void remember_checkpoints(const std::vector<trained_student>& students, results& outcome) {
  for (const trained_student& student : students) outcome.checkpoints.push_back(student.checkpoint);
}

/// What the plan needs: the logits, and the hidden layers that a student follows; about mirrored images too
/// if students see them.
teacher_answers ask(const network& teacher, const experiment_plan& plan, const pixel_matrix& images) {
  pixel_matrix pixels(images.rows() * (plan.student_mirror ? 2 : 1), images.cols());
  pixels.topRows(images.rows()) = images;
  if (plan.student_mirror) pixels.bottomRows(images.rows()) = mirrored(images);
  teacher_answers answers{.logits = predict(teacher, pixels)};
  for (const student_curriculum& one : plan.curricula) {
    for (const distill::stage& stage : one.plan.stages) {
      for (const distill::layer_weight& pair : stage.layers) {
        const auto layer = static_cast<std::size_t>(pair.teacher);
        if (answers.hidden.size() <= layer) answers.hidden.resize(layer + 1);
        if (answers.hidden[layer].size() == 0)
          answers.hidden[layer] = predict_hidden(teacher, pixels, pair.teacher);
      }
    }
  }
  return answers;
}

void try_curricula(const classroom& room, results& outcome) {
  constexpr std::uint64_t first_seed = 1000;  // seeds that are not compared later
  const auto seed_count = static_cast<std::size_t>(room.plan.trial_seed_count);
  std::vector<assignment> assignments;
  for (const student_curriculum& candidate : room.plan.curricula) {
    outcome.trials.push_back({candidate.name});
    for (std::size_t i = 0; i < seed_count; ++i)
      assignments.push_back(
          {"trial-" + std::to_string(outcome.trials.size()) + "-" + std::to_string(first_seed + i),
           first_seed + i, &candidate, lesson::objectives});
  }
  const std::vector<trained_student> students = train_students(room, assignments, "choosing the curriculum");
  remember_checkpoints(students, outcome);
  for (std::size_t i = 0; i < students.size(); ++i) {
    const scores& validation = students[i].records.back().validation;
    curriculum_trial& trial = outcome.trials[i / seed_count];
    trial.accuracy += validation.accuracy / room.plan.trial_seed_count;
    trial.negative_log_likelihood += validation.negative_log_likelihood / room.plan.trial_seed_count;
  }
  const auto best = std::max_element(outcome.trials.begin(), outcome.trials.end(),
                                     [](const auto& a, const auto& b) { return a.accuracy < b.accuracy; });
  outcome.curriculum = static_cast<std::size_t>(best - outcome.trials.begin());
}

/// For every seed the student of the hard labels, then the distilled one.
std::vector<trained_student> train_pairs(const classroom& room, const student_curriculum& curriculum) {
  std::vector<assignment> assignments;
  for (int seed = 0; seed < room.plan.seed_count; ++seed) {
    const auto number = static_cast<std::uint64_t>(seed);
    assignments.push_back({"labels-" + std::to_string(seed), number, &curriculum, lesson::labels});
    assignments.push_back({"distilled-" + std::to_string(seed), number, &curriculum, lesson::objectives});
  }
  return train_students(room, assignments, "students");
}

model_cost cost(const network& model, const dataset& data) {
  return {model.parameters().size(), microseconds_per_image(model, data.validation.pixels)};
}

scores test(const network& model, const dataset& data) {
  return evaluate(predict(model, data.test.pixels), data.test.labels);
}

student_result tested(const trained_student& student, const dataset& data) {
  const vector& parameters = student.model.parameters();
  return {student.records, test(student.model, data),
          fingerprint(parameters.data(), static_cast<std::size_t>(parameters.size()) * sizeof(float))};
}

}  // namespace

results run_experiment(const experiment_plan& plan, const dataset& data, const safekeeping& keeping) {
  const auto start = std::chrono::steady_clock::now();
  results outcome;
  const std::string data_fingerprint = fingerprint_of(data);
  const std::unique_ptr<network> its_network = obtain_teacher(plan, data, data_fingerprint, keeping);
  const network& teacher = *its_network;
  const teacher_answers answers = ask(teacher, plan, data.training.pixels);
  const classroom room{plan, data, data_fingerprint, answers, keeping};
  if (plan.curricula.size() > 1) try_curricula(room, outcome);
  const std::vector<trained_student> students = train_pairs(room, plan.curricula[outcome.curriculum]);
  remember_checkpoints(students, outcome);
  if (keeping.should_stop()) throw interrupted();

  // From here on nothing is trained or chosen, and the test images are used.
  for (std::size_t i = 0; i < students.size(); i += 2) {
    outcome.hard_label_students.push_back(tested(students[i], data));
    outcome.distilled_students.push_back(tested(students[i + 1], data));
  }
  const matrix validation_logits = predict(teacher, data.validation.pixels);
  outcome.teacher_validation = evaluate(validation_logits, data.validation.labels);
  outcome.teacher_test = test(teacher, data);
  outcome.teacher_cost = cost(teacher, data);
  outcome.student_cost = cost(students.front().model, data);
  if (const auto* mixture = dynamic_cast<const mixture_of_experts*>(&teacher))
    outcome.routes = mixture->count_routes(data.validation);
  outcome.soft_labels = pick_soft_labels(data.validation, validation_logits, 4);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

}  // namespace fashion_mnist
