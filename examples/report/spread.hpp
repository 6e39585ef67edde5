#pragma once

#include <string>
#include <vector>

namespace report {

/// Mean over seeds and sample standard deviation (0 for a single seed).
struct spread {
  double mean = 0;
  double deviation = 0;
};

spread spread_of(const std::vector<double>& values);

/// "88.54 ± 0.10 %": mean and deviation times `factor`; the mean alone for a single value.
std::string with_spread(const std::vector<double>& values, double factor, int decimals,
                        const std::string& unit);

}  // namespace report
