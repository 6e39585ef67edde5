#pragma once

#include <distill/curriculum/curriculum.hpp>
#include <filesystem>
#include <stdexcept>

#include "timeline.hpp"

namespace fashion_mnist {

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

/// Reads a curriculum. Besides being one (docs/curriculum/curriculum.md) it must fit this program: stages are
/// counted in steps, epochs or tokens (images), so that every student trains equally long; each has
/// objectives, of known_losses(); aligned layers are the student's only hidden one and one of the teacher's
/// two; there is one source of data.
/// Throws curriculum_error.
student_curriculum load_student_curriculum(const std::filesystem::path& file, index batch_size,
                                           index steps_per_epoch);

/// The curriculum for people: how long it is, and what holds at the beginning, in the middle and at the end
/// of each stage.
std::string describe(const student_curriculum& curriculum, index steps_per_epoch);

}  // namespace fashion_mnist
