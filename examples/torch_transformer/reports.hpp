#pragma once

#include <string>

#include "experiment_plan.hpp"
#include "results.hpp"

namespace torch_transformer {

/// The run as one HTML page that needs nothing from elsewhere.
std::string html_report(const experiment_plan& plan, const results& outcome, int threads);

/// The run's numbers as JSON.
std::string json_report(const experiment_plan& plan, const results& outcome, int threads);

}  // namespace torch_transformer
