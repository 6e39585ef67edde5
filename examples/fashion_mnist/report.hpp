#pragma once

#include <string>

#include "experiment.hpp"

namespace fashion_mnist {

/// The run as one HTML page that needs nothing from elsewhere.
std::string html_report(const experiment_plan& plan, const results& outcome);

/// The run's numbers as JSON, shares and not percentages.
std::string json_report(const experiment_plan& plan, const results& outcome);

}  // namespace fashion_mnist
