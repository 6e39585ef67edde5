#pragma once

#include "student_curriculum.hpp"

namespace fashion_mnist {

/// A curriculum as HTML: its schedules over the steps with the stages marked, and its stages as a table.
std::string curriculum_section(const student_curriculum& curriculum, index steps_per_epoch);

}  // namespace fashion_mnist
