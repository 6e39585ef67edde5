#include "experiment.hpp"

#include <algorithm>
#include <chrono>

#include "distillation.hpp"
#include "students.hpp"
#include "teacher.hpp"

namespace fashion_mnist {
namespace {

std::vector<temperature_trial> try_temperatures(const classroom& room) {
  constexpr std::uint64_t first_seed = 1000;  // seeds that are not compared later
  const auto seed_count = static_cast<std::size_t>(room.plan.trial_seed_count);
  std::vector<temperature_trial> trials;
  std::vector<assignment> assignments;
  for (double temperature : room.plan.temperatures) {
    trials.push_back({temperature});
    for (std::size_t i = 0; i < seed_count; ++i) {
      assignments.push_back({first_seed + i, learn_from_teacher(temperature)});
    }
  }
  const std::vector<trained_student> students = train_students(room, assignments, "choosing the temperature");
  for (std::size_t i = 0; i < students.size(); ++i) {
    const scores& validation = students[i].records.back().validation;
    temperature_trial& trial = trials[i / seed_count];
    trial.accuracy += validation.accuracy / room.plan.trial_seed_count;
    trial.negative_log_likelihood += validation.negative_log_likelihood / room.plan.trial_seed_count;
  }
  return trials;
}

double best_temperature(const std::vector<temperature_trial>& trials) {
  return std::max_element(trials.begin(), trials.end(),
                          [](const auto& a, const auto& b) { return a.accuracy < b.accuracy; })
      ->temperature;
}

/// For every seed the student of the hard labels, then the distilled one.
std::vector<trained_student> train_pairs(const classroom& room, double temperature) {
  std::vector<assignment> assignments;
  for (int seed = 0; seed < room.plan.seed_count; ++seed) {
    assignments.push_back({static_cast<std::uint64_t>(seed), learn_from_labels});
    assignments.push_back({static_cast<std::uint64_t>(seed), learn_from_teacher(temperature)});
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
  return {student.records, test(student.model, data)};
}

}  // namespace

results run_experiment(const experiment_plan& plan, const dataset& data, const std::filesystem::path& cache) {
  const auto start = std::chrono::steady_clock::now();
  results outcome;
  const std::unique_ptr<network> its_network = obtain_teacher(plan, data, cache);
  const network& teacher = *its_network;
  const matrix teacher_logits = predict(teacher, data.training.pixels);
  const classroom room{plan, data, teacher_logits};
  outcome.trials = try_temperatures(room);
  outcome.temperature = best_temperature(outcome.trials);
  const std::vector<trained_student> students = train_pairs(room, outcome.temperature);

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
