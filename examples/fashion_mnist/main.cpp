#include <CLI/CLI.hpp>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>

#include "distillation.hpp"
#include "experiment.hpp"
#include "interruption.hpp"
#include "report.hpp"
#include "summary.hpp"

namespace {

namespace fs = std::filesystem;

struct arguments {
  fs::path data = data::debian_image_folder;
  fs::path output = FASHION_MNIST_OUTPUT;
  fs::path cache = FASHION_MNIST_OUTPUT;
  std::vector<fs::path> curricula = {};
  fs::path checked = {};
  int seeds = 0;
  double checkpoint_interval = 5;
  bool fresh = false;
  bool quick = false;
  fashion_mnist::teacher_kind teacher = fashion_mnist::teacher_kind::convolutional;
};

void declare(CLI::App& app, arguments& chosen) {
  app.add_option("--data", chosen.data, "folder with the four gzipped Fashion-MNIST files")
      ->capture_default_str();
  app.add_option("--output", chosen.output, "folder for report.html and results.json")->capture_default_str();
  app.add_option("--cache", chosen.cache, "folder that keeps the trained teacher and all checkpoints")
      ->capture_default_str();
  app.add_option(
         "--curriculum", chosen.curricula,
         "JSON file that says how the students are distilled; of several, the run takes the best on "
         "the validation images (default: rising_temperature.json, low_temperature.json and aligned.json; "
         "quick: quick.json)")
      ->allow_extra_args(false);
  app.add_option("--check", chosen.checked,
                 "only say what a curriculum means, or everything that is wrong with it");
  app.add_option("--seeds", chosen.seeds, "students per kind of training (default: 5, quick: 2)")
      ->check(CLI::PositiveNumber);
  using fashion_mnist::teacher_kind;
  app.add_option("--teacher", chosen.teacher, "convolutional, perceptron, or mixture: a mixture of experts")
      ->transform(CLI::CheckedTransformer(std::map<std::string, teacher_kind>{
          {name_of(teacher_kind::convolutional), teacher_kind::convolutional},
          {name_of(teacher_kind::perceptron), teacher_kind::perceptron},
          {name_of(teacher_kind::mixture), teacher_kind::mixture}}))
      ->default_str(name_of(teacher_kind::convolutional));
  app.add_option("--checkpoint-interval", chosen.checkpoint_interval,
                 "seconds of training after which a checkpoint is written")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--fresh", chosen.fresh, "start over: use neither the trained teacher nor any checkpoint");
  app.add_flag("--quick", chosen.quick, "few images and epochs: seconds instead of minutes");
}

report::student_curriculum load(const fs::path& file, const fashion_mnist::experiment_plan& plan) {
  return report::load_student_curriculum(file, fashion_mnist::rules_for_curricula(), plan.student_batch_size,
                                         plan.student_steps_per_epoch());
}

void check(const arguments& chosen) {
  const fashion_mnist::experiment_plan plan =
      chosen.quick ? fashion_mnist::quick_plan() : fashion_mnist::full_plan();
  std::cout << describe(load(chosen.checked, plan), plan.student_steps_per_epoch());
}

fashion_mnist::experiment_plan plan_of(const arguments& chosen) {
  fashion_mnist::experiment_plan plan =
      chosen.quick ? fashion_mnist::quick_plan() : fashion_mnist::full_plan();
  if (chosen.seeds > 0) plan.seed_count = chosen.seeds;
  choose_teacher(plan, chosen.teacher);
  std::vector<fs::path> files = chosen.curricula;
  const fs::path shipped = FASHION_MNIST_CURRICULA;
  if (files.empty() && chosen.quick) files = {shipped / "quick.json"};
  if (files.empty())
    files = {shipped / "rising_temperature.json", shipped / "low_temperature.json", shipped / "aligned.json"};
  for (const fs::path& file : files) plan.curricula.push_back(load(file, plan));
  return plan;
}

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  if (!(std::ofstream(file) << text << std::flush))
    throw std::runtime_error(file.string() + ": cannot be written");
}

void run(const arguments& chosen) {
  const fashion_mnist::experiment_plan plan = plan_of(chosen);
  const fashion_mnist::dataset data = fashion_mnist::load_dataset(chosen.data, plan.sizes);
  const fashion_mnist::safekeeping keeping{
      .folder = chosen.cache,
      .interval = std::chrono::duration<double>(chosen.checkpoint_interval),
      .starts_over = chosen.fresh,
      .should_stop = [] { return fashion_mnist::interruption() != 0; }};
  const fashion_mnist::results outcome = fashion_mnist::run_experiment(plan, data, keeping);
  write(chosen.output / "report.html", fashion_mnist::html_report(plan, outcome));
  write(chosen.output / "results.json", fashion_mnist::json_report(plan, outcome));
  for (const fs::path& checkpoint : outcome.checkpoints) fs::remove(checkpoint);
  std::cout << "\n"
            << fashion_mnist::plain_table(fashion_mnist::result_table(outcome)) << "\n"
            << fashion_mnist::verdict(outcome) << "\nReport: " << (chosen.output / "report.html").string()
            << "\n";
}

}  // namespace

int main(int argument_count, char** argument_values) {
  arguments chosen;
  CLI::App app("Distils a small Fashion-MNIST classifier from a large one and reports what that gained.");
  declare(app, chosen);
  CLI11_PARSE(app, argument_count, argument_values);
  fashion_mnist::watch_for_interruption();
  try {
    if (chosen.checked.empty())
      run(chosen);
    else
      check(chosen);
  } catch (const report::curriculum_error& error) {
    (chosen.checked.empty() ? std::cerr : std::cout) << error.what() << "\n";
    return 1;
  } catch (const fashion_mnist::interrupted&) {
    std::cout << "\nStopped; what was trained is in " << chosen.cache.string()
              << ". The same command goes on from there.\n";
    return 128 + fashion_mnist::interruption();
  } catch (const fashion_mnist::checkpoint_error& error) {
    std::cerr << "fashion_mnist: " << error.what() << "; remove the file, or start over with --fresh\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "fashion_mnist: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
