#pragma once

#include <filesystem>

#include "experiment_plan.hpp"
#include "multilayer_perceptron.hpp"

namespace fashion_mnist {

/// The teacher of a plan: read from the folder `cache` if a file made by the same recipe is there and intact,
/// otherwise trained on the labels and written there. A file that cannot be used is named on stdout.
multilayer_perceptron obtain_teacher(const experiment_plan& plan, const dataset& data,
                                     const std::filesystem::path& cache);

}  // namespace fashion_mnist
