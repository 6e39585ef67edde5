#pragma once

#include <distill/curriculum/curriculum.hpp>
#include <filesystem>
#include <stdexcept>

#include "timeline.hpp"

namespace report {

/// A curriculum file that cannot be used; says every reason, one a line: "FILE: PLACE: WHAT".
class curriculum_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A curriculum for the students, the name of its file, and what it means at each step.
struct student_curriculum {
  std::string name;
  distill::curriculum plan;
  timeline steps;
};

/// Layers that can be aligned, and what is wrong with one beyond them.
struct layer_rule {
  std::int64_t count = 0;
  std::string otherwise = {};
};

/// What a program can do of a curriculum.
struct curriculum_rules {
  std::vector<std::string> losses;
  layer_rule student = {}, teacher = {};  // a count of 0: no layers are aligned as the curriculum says
};

/// Reads a curriculum. Besides being one (docs/curriculum/curriculum.md) it must fit this program: stages are
/// counted in steps, epochs or tokens, so that every student trains equally long; each has objectives, of the
/// rules' losses; aligned layers are as the rules say; there is one source of data.
/// Throws curriculum_error.
student_curriculum load_student_curriculum(const std::filesystem::path& file, const curriculum_rules& rules,
                                           std::int64_t tokens_per_step, std::int64_t steps_per_epoch);

/// The file's name without its extension, words apart: "logits and attention".
std::string title_of(const student_curriculum& curriculum);

/// The curriculum for people: how long it is, and what holds at the beginning, in the middle and at the end
/// of each stage.
std::string describe(const student_curriculum& curriculum, std::int64_t steps_per_epoch);

}  // namespace report
