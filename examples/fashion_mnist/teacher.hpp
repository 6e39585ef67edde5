#pragma once

#include <memory>

#include "experiment_plan.hpp"
#include "network.hpp"
#include "resumable_training.hpp"

namespace fashion_mnist {

/// The teacher of a plan, from its checkpoint or trained on the labels. `data_fingerprint` tells data apart.
std::unique_ptr<network> obtain_teacher(const experiment_plan& plan, const dataset& data,
                                        const std::string& data_fingerprint, const safekeeping& keeping);

}  // namespace fashion_mnist
