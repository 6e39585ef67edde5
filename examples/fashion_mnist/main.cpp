#include <CLI/CLI.hpp>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>

#include "experiment.hpp"
#include "report.hpp"
#include "summary.hpp"

namespace {

namespace fs = std::filesystem;

struct arguments {
  fs::path data = fashion_mnist::debian_data_folder;
  fs::path output = FASHION_MNIST_OUTPUT;
  fs::path cache = FASHION_MNIST_OUTPUT;
  int seeds = 0;
  bool quick = false;
  fashion_mnist::teacher_kind teacher = fashion_mnist::teacher_kind::perceptron;
};

void declare(CLI::App& app, arguments& chosen) {
  app.add_option("--data", chosen.data, "folder with the four gzipped Fashion-MNIST files")
      ->capture_default_str();
  app.add_option("--output", chosen.output, "folder for report.html and results.json")->capture_default_str();
  app.add_option("--cache", chosen.cache, "folder that keeps the trained teacher")->capture_default_str();
  app.add_option("--seeds", chosen.seeds, "students per kind of training (default: 5, quick: 2)")
      ->check(CLI::PositiveNumber);
  using fashion_mnist::teacher_kind;
  app.add_option("--teacher", chosen.teacher, "perceptron, or mixture: a mixture of experts")
      ->transform(CLI::CheckedTransformer(std::map<std::string, teacher_kind>{
          {name_of(teacher_kind::perceptron), teacher_kind::perceptron},
          {name_of(teacher_kind::mixture), teacher_kind::mixture}}))
      ->default_str(name_of(teacher_kind::perceptron));
  app.add_flag("--quick", chosen.quick, "few images and epochs: seconds instead of minutes");
}

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  if (!(std::ofstream(file) << text << std::flush))
    throw std::runtime_error(file.string() + ": cannot be written");
}

void run(const arguments& chosen) {
  fashion_mnist::experiment_plan plan =
      chosen.quick ? fashion_mnist::quick_plan() : fashion_mnist::full_plan();
  if (chosen.seeds > 0) plan.seed_count = chosen.seeds;
  plan.teacher = chosen.teacher;
  const fashion_mnist::dataset data = fashion_mnist::load_dataset(chosen.data, plan.sizes);
  const fashion_mnist::results outcome = fashion_mnist::run_experiment(plan, data, chosen.cache);
  write(chosen.output / "report.html", fashion_mnist::html_report(plan, outcome));
  write(chosen.output / "results.json", fashion_mnist::json_report(plan, outcome));
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
  try {
    run(chosen);
  } catch (const std::exception& error) {
    std::cerr << "fashion_mnist: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
