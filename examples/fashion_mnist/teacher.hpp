#pragma once

#include <filesystem>
#include <memory>

#include "experiment_plan.hpp"
#include "network.hpp"

namespace fashion_mnist {

/// The teacher of a plan: read from the folder `cache` if a file made by the same recipe is there and intact,
/// otherwise trained on the labels and written there. A file that cannot be used is named on stdout.
std::unique_ptr<network> obtain_teacher(const experiment_plan& plan, const dataset& data,
                                        const std::filesystem::path& cache);

}  // namespace fashion_mnist
