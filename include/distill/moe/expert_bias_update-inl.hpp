// Definitions of expert_bias_update.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/expert_bias_update.hpp>
#include <distill/moe/router_memory-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

// sign(mean - count), with mean = total / experts compared in integers.
inline double sign_of_shortage(std::int64_t count, std::int64_t total, std::int64_t experts) {
  const std::int64_t whole = total / experts, rest = total % experts;
  if (count != whole) return count < whole ? 1 : -1;
  return rest > 0 ? 1 : 0;
}

}  // namespace detail

DISTILL_INLINE void expert_bias_update::operator()(vector_view<const std::int64_t> assignments,
                                                   vector_view<float> bias) const {
  const char* const name = "expert_bias_update";
  if (!(std::isfinite(rate) && rate >= 0))
    detail::throw_parameter(name, "rate", "finite and >= 0", detail::text_of(rate));
  detail::require_vector(name, "assignments", assignments, "experts", "assignments", assignments.size());
  detail::require_written_vector(name, "bias", bias, "experts", "assignments", assignments.size());
  const std::int64_t total = detail::require_counts(name, "assignments", assignments);
  if (total == 0) return;
  const auto experts = static_cast<std::int64_t>(assignments.size());
  const double mean = static_cast<double>(total) / static_cast<double>(experts);
  const auto move = [&](std::size_t i) {
    const double sign = detail::sign_of_shortage(assignments[i], total, experts);
    if (step == bias_step::sign || sign == 0) return rate * sign;
    return rate * ((mean - static_cast<double>(assignments[i])) / mean);
  };
  double mean_move = 0;
  for (std::size_t i = 0; i < bias.size() && recentre; ++i)
    mean_move += move(i) / static_cast<double>(experts);
  for (std::size_t i = 0; i < bias.size(); ++i)
    bias[i] = static_cast<float>(static_cast<double>(bias[i]) + (move(i) - mean_move));
}

}  // namespace distill::inline DISTILL_ABI
