#include "student_curriculum.hpp"

#include <algorithm>
#include <distill/interop/json.hpp>
#include <sstream>

#include "text.hpp"

namespace report {
namespace {

using defect_list = std::vector<distill::curriculum_defect>;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

void check_stage(const std::string& place, const distill::stage& stage, const curriculum_rules& rules,
                 defect_list& defects) {
  const auto add = [&](const std::string& key, const std::string& what) {
    defects.push_back({place + "." + key, what});
  };
  if (stage.length.unit == distill::length_unit::metric)
    add("length.unit", "must be steps, epochs or tokens here, so that all students train equally long");
  if (stage.objectives.empty()) add("objectives", "must not be empty here");
  for (const distill::named_weight& one : stage.objectives) {
    if (std::find(rules.losses.begin(), rules.losses.end(), one.name) == rules.losses.end())
      add("objectives." + one.name, "is none of the losses here: " + joined(rules.losses));
  }
  if (rules.student.count == 0 && !stage.layers.empty())
    add("layers", "must be left out, no layers are aligned here");
  for (std::size_t i = 0; rules.student.count > 0 && i < stage.layers.size(); ++i) {
    const std::string pair = std::string("layers[").append(std::to_string(i)).append("]");
    if (stage.layers[i].student >= rules.student.count) add(pair + ".student", rules.student.otherwise);
    if (stage.layers[i].teacher >= rules.teacher.count) add(pair + ".teacher", rules.teacher.otherwise);
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

student_curriculum load_student_curriculum(const std::filesystem::path& file, const curriculum_rules& rules,
                                           std::int64_t tokens_per_step, std::int64_t steps_per_epoch) {
  student_curriculum result{file.filename().string(), load(file), {}};
  defect_list defects;
  for (std::size_t i = 0; i < result.plan.stages.size(); ++i)
    check_stage(std::string("stages[").append(std::to_string(i)).append("]"), result.plan.stages[i], rules,
                defects);
  if (!defects.empty()) refuse(file, defects);
  result.steps = walk(result.plan, tokens_per_step, steps_per_epoch);
  if (result.steps.moments.empty())
    refuse(file, {{"stages", "must be at most 1,000,000 steps long together here"}});
  return result;
}

std::string title_of(const student_curriculum& curriculum) {
  std::string title = std::filesystem::path(curriculum.name).stem().string();
  std::replace(title.begin(), title.end(), '_', ' ');
  return title;
}

std::string describe(const student_curriculum& curriculum, std::int64_t steps_per_epoch) {
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

}  // namespace report
