#include "spread.hpp"

#include <cmath>
#include <numeric>

#include "text.hpp"

namespace report {

spread spread_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (count - 1)) : 0};
}

std::string with_spread(const std::vector<double>& values, double factor, int decimals,
                        const std::string& unit) {
  const spread of_values = spread_of(values);
  std::string text = fixed(factor * of_values.mean, decimals);
  if (values.size() > 1) text += " ± " + fixed(factor * of_values.deviation, decimals);
  return text + unit;
}

}  // namespace report
