// The squared coefficient of variation and its gradient, in importance_loss and load_loss.
#pragma once

#include <distill/moe/router_memory-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

struct variation_parameters {
  double coefficient, epsilon;
  bool unbiased;
};

inline double squared_variation(const char* name, const char* what, const variation_parameters& p,
                                vector_view<const double> x, vector_view<double> slopes) {
  require_finite(name, "coefficient", p.coefficient);
  if (!(std::isfinite(p.epsilon) && p.epsilon >= 0))
    throw_parameter(name, "epsilon", "finite and >= 0", text_of(p.epsilon));
  if (x.empty()) throw shape_error(std::string(name) + ": " + what + " has 0 experts");
  require_vector(name, what, x, "experts", what, x.size());
  if (!slopes.empty()) require_written_vector(name, "slopes", slopes, "experts", what, x.size());
  const auto experts = static_cast<double>(x.size());
  double mean = 0, squares = 0, largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    mean += x[i] / experts, largest = std::max(largest, std::abs(x[i]));
  for (std::size_t i = 0; i < x.size(); ++i) squares += (x[i] - mean) * (x[i] - mean);
  if (x.size() == 1 || (largest == 0 && mean == 0)) {
    for (std::size_t i = 0; i < slopes.size(); ++i) slopes[i] = 0;
    return 0;
  }
  const double degrees = p.unbiased ? experts - 1 : experts, variance = squares / degrees;
  const double scale = mean * mean + p.epsilon;
  for (std::size_t i = 0; i < slopes.size(); ++i)
    slopes[i] = p.coefficient *
                (2 * (x[i] - mean) / (degrees * scale) - 2 * mean * variance / (experts * scale * scale));
  return p.coefficient * variance / scale;
}

}  // namespace distill::inline DISTILL_ABI::detail
