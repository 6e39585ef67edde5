#pragma once

#include "student_curriculum.hpp"

namespace report {

/// A curriculum as HTML: its schedules over the steps with the stages marked, and its stages as a table.
std::string curriculum_section(const student_curriculum& curriculum, std::int64_t steps_per_epoch);

}  // namespace report
