#pragma once

#include <string>

namespace report {

/// The processor's name and the number of its threads, as far as the system tells.
std::string machine_name();

}  // namespace report
