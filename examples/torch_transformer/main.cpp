#include <CLI/CLI.hpp>
#include <exception>
#include <fstream>
#include <iostream>
#include <thread>

#include "data/idx_file.hpp"
#include "data/text_files.hpp"
#include "experiment.hpp"
#include "loss_names.hpp"
#include "report/text.hpp"
#include "reports.hpp"
#include "summary.hpp"

namespace {

namespace fs = std::filesystem;
using torch_transformer::experiment_plan;

struct arguments {
  torch_transformer::data_folders data = {data::debian_text_folder, data::debian_image_folder};
  fs::path output = TORCH_TRANSFORMER_OUTPUT;
  std::vector<fs::path> curricula = {};
  fs::path checked = {};
  std::string task = "both";
  int seeds = 0;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  bool quick = false;
};

void declare(CLI::App& app, arguments& chosen) {
  app.add_option("--text", chosen.data.text, "folder with texts")->capture_default_str();
  app.add_option("--images", chosen.data.images, "folder with the four gzipped Fashion-MNIST files")
      ->capture_default_str();
  app.add_option("--output", chosen.output, "folder for report.html and results.json")->capture_default_str();
  app.add_option(
         "--curriculum", chosen.curricula,
         "JSON file that says how students are trained; given several times, one group of students for each, "
         "compared with the first (default: labels, logits, logits_and_attention, all)")
      ->allow_extra_args(false);
  app.add_option("--check", chosen.checked,
                 "only say what a curriculum means, or everything that is wrong with it");
  app.add_option("--task", chosen.task, "text, images or both")
      ->check(CLI::IsMember({"text", "images", "both"}))
      ->capture_default_str();
  app.add_option("--seeds", chosen.seeds, "students for each curriculum (default: 3, quick: 1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", chosen.threads, "how many models are trained at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--quick", chosen.quick, "few steps: seconds instead of minutes");
}

report::student_curriculum load(const fs::path& file, const torch_transformer::task_plan& task) {
  return report::load_student_curriculum(file, {.losses = torch_transformer::loss_names::all()},
                                         task.tokens_per_step(), task.steps_per_epoch);
}

experiment_plan plan_of(const arguments& chosen) {
  experiment_plan plan = chosen.quick ? torch_transformer::quick_plan() : torch_transformer::full_plan();
  if (chosen.seeds > 0) plan.seed_count = chosen.seeds;
  if (chosen.task != "both") {
    const auto left_out =
        chosen.task == "text" ? torch_transformer::task_kind::images : torch_transformer::task_kind::text;
    std::erase_if(plan.tasks, [&](const auto& task) { return task.kind == left_out; });
  }
  std::vector<fs::path> files = chosen.curricula;
  const fs::path shipped = TORCH_TRANSFORMER_CURRICULA;
  if (files.empty())
    for (const char* name : {"labels.json", "logits.json", "logits_and_attention.json", "all.json"})
      files.push_back(shipped / name);
  for (const torch_transformer::task_plan& task : plan.tasks) {
    plan.curricula.emplace_back();
    for (const fs::path& file : files) plan.curricula.back().push_back(load(file, task));
  }
  return plan;
}

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  if (!(std::ofstream(file) << text << std::flush))
    throw std::runtime_error(file.string() + ": cannot be written");
}

void print(const torch_transformer::task_plan& task, const torch_transformer::task_results& outcome) {
  std::vector<std::vector<std::string>> rows = result_table(task, outcome);
  rows.insert(rows.begin(), column_names(task));
  std::cout << "\n" << task.name << "\n" << report::aligned(rows) << "\n";
  for (const std::string& sentence : verdicts(task, outcome)) std::cout << sentence << "\n";
}

void run(const arguments& chosen) {
  const experiment_plan plan = plan_of(chosen);
  if (!chosen.checked.empty()) {
    const torch_transformer::task_plan& task = plan.tasks.front();
    std::cout << describe(load(chosen.checked, task), task.steps_per_epoch);
    return;
  }
  const torch_transformer::results outcome = run_experiment(plan, chosen.data, chosen.threads);
  write(chosen.output / "report.html", html_report(plan, outcome, chosen.threads));
  write(chosen.output / "results.json", json_report(plan, outcome, chosen.threads));
  for (std::size_t i = 0; i < plan.tasks.size(); ++i) print(plan.tasks[i], outcome.tasks[i]);
  std::cout << "\nReport: " << (chosen.output / "report.html").string() << "\n";
}

}  // namespace

int main(int argument_count, char** argument_values) {
  arguments chosen;
  CLI::App app("Distils small Transformers from large ones with experts and reports what that gained.");
  declare(app, chosen);
  CLI11_PARSE(app, argument_count, argument_values);
  try {
    run(chosen);
  } catch (const report::curriculum_error& error) {
    (chosen.checked.empty() ? std::cerr : std::cout) << error.what() << "\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "torch_transformer: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
