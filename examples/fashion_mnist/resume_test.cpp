// Trainings that are killed at any step, and gone on with, end as if they had not been.
// Usage: resume_test DATA_FOLDER CURRICULUM FOLDER (written to).

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "distillation.hpp"
#include "experiment.hpp"
#include "interruption.hpp"
#include "report.hpp"

namespace fs = std::filesystem;

namespace fashion_mnist {

using namespace report;

namespace {

int failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::cout << "FAILED: " << what << std::endl;
}

safekeeping keeping_in(const fs::path& folder, double seconds, std::function<bool()> should_stop) {
  return {.folder = folder,
          .interval = std::chrono::duration<double>(seconds),
          .should_stop = std::move(should_stop)};
}

/// Whether `task` was killed: in a process of its own, by itself, when its training has made so many steps.
template <class Task>
bool is_killed_after(int steps, const Task& task) {
  std::cout << std::flush;
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<int> left = steps;
    task([&left] {
      if (--left == 0) ::raise(SIGKILL);
      return false;
    });
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

// ---- a student alone: the step it is killed at is exact

struct outcome {
  vector parameters;
  history records;
};

outcome train_student(const experiment_plan& plan, const dataset& data, const safekeeping& keeping,
                      const std::string& name) {
  multilayer_perceptron model(plan.student_shape, 3);
  teacher_answers teacher{.logits = matrix(2 * data.training.size(), class_count),
                          .hidden = {{}, matrix(2 * data.training.size(), 20)}};
  for (matrix* answer : {&teacher.logits, &teacher.hidden[1]})
    for (index i = 0; i < answer->size(); ++i) answer->data()[i] = static_cast<float>(i % 13);
  resumable_training training(model, plan.curricula.front().plan, name, {{"seed", "3"}}, keeping);
  batch_source batches(data.training, teacher, plan.student_batch_size, true, 3);
  training.finish(batches, learn_as_planned(model), data.validation, [](const epoch_record&) {});
  return {model.parameters(), training.records()};
}

bool is_same(const history& a, const history& b) {
  const auto is_equal = [](const epoch_record& x, const epoch_record& y) {
    return x.training_loss == y.training_loss && x.validation.accuracy == y.validation.accuracy &&
           x.validation.negative_log_likelihood == y.validation.negative_log_likelihood &&
           x.validation.calibration_error == y.validation.calibration_error;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), is_equal);
}

/// A checkpoint is written after every step, so that a student killed in its step n goes on with step n.
void test_student(const experiment_plan& plan, const dataset& data, const fs::path& folder) {
  const auto never = [] { return false; };
  const outcome whole = train_student(plan, data, keeping_in(folder, 1e9, never), "whole");
  const auto boundary = static_cast<int>(plan.curricula.front().steps.stages[0].steps);
  const auto last = static_cast<int>(plan.curricula.front().steps.moments.size());
  // In an epoch, in the last step of the first stage, just after it, in the last step of all.
  int done = 0;
  for (const int step : {1, 31, boundary, boundary + 1, boundary + 50, last}) {
    const bool is_killed = is_killed_after(step - done, [&](const std::function<bool()>& should_stop) {
      train_student(plan, data, keeping_in(folder, 0, should_stop), "parts");
    });
    check(is_killed, "a student is killed in step " + std::to_string(step));
    done = step - 1;
  }
  const outcome parts = train_student(plan, data, keeping_in(folder, 0, never), "parts");
  check(parts.parameters == whole.parameters, "killed and resumed, a student has other parameters");
  check(is_same(parts.records, whole.records), "killed and resumed, a student has other curves");
}

/// Asked to stop, a training writes a checkpoint first; between the intervals it writes none.
void test_stop(const experiment_plan& plan, const dataset& data, const fs::path& folder) {
  const auto steps_kept = [&](const std::string& name) {
    multilayer_perceptron model(plan.student_shape, 3);
    const safekeeping keeping = keeping_in(folder, 1e9, [] { return false; });
    return resumable_training(model, plan.curricula.front().plan, name, {{"seed", "3"}}, keeping)
        .earlier_steps();
  };
  int left = 17;
  bool is_stopped = false;
  try {
    train_student(plan, data, keeping_in(folder, 1e9, [&left] { return --left == 0; }), "asked");
  } catch (const interrupted&) {
    is_stopped = true;
  }
  check(is_stopped, "a training that is asked to stop says so");
  check(steps_kept("asked") == 17, "a training that is asked to stop keeps what it has");
  is_killed_after(17, [&](const std::function<bool()>& should_stop) {
    train_student(plan, data, keeping_in(folder, 1e9, should_stop), "killed");
  });
  check(steps_kept("killed") == 0, "no checkpoint is written before its time");
}

// ---- a run: teacher, trials, students side by side

/// All but times and the processor.
std::string lasting_part(const std::string& report) {
  nlohmann::json all = nlohmann::json::parse(report);
  all.erase("seconds");
  for (const char* who : {"teacher", "student"}) all[who]["cost"].erase("microseconds_per_image");
  return all.dump(1);
}

void test_run(const experiment_plan& plan, const dataset& data, const fs::path& folder) {
  const auto report_of = [&](const std::string& name) {
    const auto keeping = keeping_in(folder / name, 1e9, [] { return false; });
    return lasting_part(json_report(plan, run_experiment(plan, data, keeping)));
  };
  const std::string expected = report_of("whole");
  int kills = 0;
  for (const int steps : {50, 100, 300, 700, 400, 900}) {
    kills += is_killed_after(steps, [&](const std::function<bool()>& should_stop) {
      run_experiment(plan, data, keeping_in(folder / "parts", 0.02, should_stop));
    });
  }
  check(kills >= 4, "a run is killed four times, was " + std::to_string(kills));
  check(report_of("parts") == expected, "killed and resumed, a run ends with other numbers");
}

experiment_plan small_plan(const fs::path& curriculum) {
  experiment_plan plan = quick_plan();
  plan.teacher_convolutional = {.first_channels = 2, .second_channels = 4, .hidden = 16, .dropout = 0.3F};
  plan.teacher_perceptron.widths = {pixel_count, 64, class_count};
  plan.teacher_mixture.hidden = 64;
  plan.teacher_mixture.expert_hidden = 16;
  plan.teaching.mirror = plan.student_mirror = true;
  plan.teaching.epochs = 3;
  plan.seed_count = 1;
  const student_curriculum one = load_student_curriculum(
      curriculum, rules_for_curricula(), plan.student_batch_size, plan.student_steps_per_epoch());
  plan.curricula = {one, one};
  return plan;
}

int run(const fs::path& images, const fs::path& curriculum, const fs::path& folder) {
  fs::remove_all(folder);
  experiment_plan plan = small_plan(curriculum);
  const dataset data = load_dataset(images, plan.sizes);
  test_student(plan, data, folder / "student");
  test_stop(plan, data, folder / "stop");
  for (const teacher_kind kind : {teacher_kind::convolutional, teacher_kind::mixture}) {
    plan.teacher = kind;
    test_run(plan, data, folder / name_of(kind));
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace fashion_mnist

int main(int, char** arguments) { return fashion_mnist::run(arguments[1], arguments[2], arguments[3]); }
