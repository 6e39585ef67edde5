#pragma once

#include <string>

namespace fashion_mnist {

/// The processor's name and the number of its threads, as far as the system tells.
std::string machine_name();

}  // namespace fashion_mnist
