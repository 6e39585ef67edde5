#include "student_curriculum.hpp"

#include <algorithm>
#include <distill/interop/json.hpp>
#include <sstream>

#include "distillation.hpp"
#include "text.hpp"

namespace fashion_mnist {
namespace {

using defect_list = std::vector<distill::curriculum_defect>;

constexpr std::int64_t student_hidden_layers = 1, teacher_hidden_layers = 2;

std::string known_names() {
  std::string text;
  for (const std::string& name : known_losses()) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

void check_stage(const std::string& place, const distill::stage& stage, defect_list& defects) {
  const auto add = [&](const std::string& key, const std::string& what) {
    defects.push_back({place + "." + key, what});
  };
  if (stage.length.unit == distill::length_unit::metric)
    add("length.unit", "must be steps, epochs or tokens here, so that all students train equally long");
  if (stage.objectives.empty()) add("objectives", "must not be empty here");
  const std::vector<std::string> known = known_losses();
  for (const distill::named_weight& one : stage.objectives) {
    if (std::find(known.begin(), known.end(), one.name) == known.end())
      add("objectives." + one.name, "is none of the losses here: " + known_names());
  }
  for (std::size_t i = 0; i < stage.layers.size(); ++i) {
    const std::string pair = std::string("layers[").append(std::to_string(i)).append("]");
    if (stage.layers[i].student >= student_hidden_layers)
      add(pair + ".student", "must be 0, the students here have one hidden layer");
    if (stage.layers[i].teacher >= teacher_hidden_layers)
      add(pair + ".teacher", "must be 0 or 1, the teachers here have two hidden layers");
  }
  if (!stage.mixture.empty()) add("mixture", "must be left out, there is one source of data here");
  if (!stage.data_source.empty()) add("data_source", "must be left out, there is one source of data here");
}

[[noreturn]] void refuse(const std::filesystem::path& file, const defect_list& defects) {
  std::ostringstream text;
  for (const distill::curriculum_defect& one : defects)
    text << (&one == &defects.front() ? "" : "\n") << file.string() << ": " << one.place << ": " << one.what;
  throw curriculum_error(text.str());
}

distill::curriculum load(const std::filesystem::path& file) {
  try {
    return distill::load_json_file<distill::curriculum>(file.string());
  } catch (const distill::json_error& error) {
    refuse(file, error.defects());
  } catch (const distill::data_error&) {
    throw curriculum_error(file.string() + ": cannot be read");
  }
}

}  // namespace

student_curriculum load_student_curriculum(const std::filesystem::path& file, index batch_size,
                                           index steps_per_epoch) {
  student_curriculum result{file.filename().string(), load(file), {}};
  defect_list defects;
  for (std::size_t i = 0; i < result.plan.stages.size(); ++i)
    check_stage(std::string("stages[").append(std::to_string(i)).append("]"), result.plan.stages[i], defects);
  if (!defects.empty()) refuse(file, defects);
  result.steps = walk(result.plan, batch_size, steps_per_epoch);
  if (result.steps.moments.empty())
    refuse(file, {{"stages", "must be at most 1,000,000 steps long together here"}});
  return result;
}

std::string describe(const student_curriculum& curriculum, index steps_per_epoch) {
  const timeline& steps = curriculum.steps;
  std::vector<std::vector<std::string>> rows = {
      {"stage", "epoch", "step", "temperature", "learning rate", "loss weight"}};
  rows[0].insert(rows[0].end(), steps.objectives.begin(), steps.objectives.end());
  for (const stage_span& stage : steps.stages) {
    for (const std::int64_t step :
         {stage.first_step, stage.first_step + stage.steps / 2, stage.last_step()}) {
      const moment& now = steps.moments[static_cast<std::size_t>(step)];
      rows.push_back({stage.name, grouped(step / steps_per_epoch + 1), grouped(step),
                      short_number(now.temperature), short_number(now.learning_rate),
                      short_number(now.loss_weight)});
      for (const double weight : now.objectives) rows.back().push_back(short_number(weight));
    }
  }
  const auto length = std::ssize(steps.moments);
  return curriculum.name + ": " + counted(std::ssize(steps.stages), "stage") + ", " +
         counted(length, "step") + ", " + counted(epoch_count(length, steps_per_epoch), "epoch") + " of " +
         grouped(steps_per_epoch) + " steps\n" + aligned(rows);
}

}  // namespace fashion_mnist
