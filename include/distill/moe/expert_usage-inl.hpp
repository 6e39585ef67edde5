// Definitions of expert_usage.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <algorithm>
#include <distill/moe/expert_usage.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <numeric>

namespace distill::inline DISTILL_ABI {

namespace detail {

// `12.3`, at least `width` wide.
inline std::string fixed_text(double value, int digits, std::size_t width = 0) {
  const double scale = digits == 1 ? 10 : 100;
  const auto units = static_cast<std::int64_t>(std::llround(value * scale));
  const auto whole = static_cast<std::int64_t>(scale);
  std::string fraction = std::to_string(units % whole);
  fraction.insert(0, static_cast<std::size_t>(digits) - fraction.size(), '0');
  std::string text = std::to_string(units / whole) + "." + fraction;
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

inline std::string usage_line(const expert_usage& usage, std::size_t expert, double largest) {
  const double share = usage.shares[expert];
  std::string index = std::to_string(expert);
  if (index.size() < 6) index.insert(0, 6 - index.size(), ' ');
  const auto bar =
      largest > 0 ? static_cast<std::size_t>(std::llround(40 * share / largest)) : std::size_t{0};
  return index + "  " + fixed_text(100 * share, 2, 6) + " %" + (bar > 0 ? "  " + std::string(bar, '#') : "") +
         "\n";
}

}  // namespace detail

DISTILL_INLINE expert_usage usage_of(vector_view<const std::int64_t> assignments) {
  detail::require_vector("usage_of", "assignments", assignments, "experts", "assignments",
                         assignments.size());
  expert_usage usage;
  usage.assignments = detail::require_counts("usage_of", "assignments", assignments);
  usage.experts = assignments.size();
  usage.shares.assign(usage.experts, 0);
  const auto experts = static_cast<double>(usage.experts), total = static_cast<double>(usage.assignments);
  double squares = 0, largest = 0;
  for (std::size_t i = 0; i < usage.experts; ++i) {
    usage.unused += assignments[i] == 0 ? 1 : 0;
    if (usage.assignments == 0) continue;
    const double share = static_cast<double>(assignments[i]) / total;
    usage.shares[i] = share;
    if (share > 0) usage.entropy -= share * std::log(share);
    largest = std::max(largest, share);
    squares += (share * experts - 1) * (share * experts - 1);
  }
  if (usage.assignments == 0) return usage;
  usage.effective_experts = std::exp(usage.entropy);
  usage.largest_over_mean = largest * experts;
  usage.coefficient_of_variation = std::sqrt(squares / experts);
  return usage;
}

DISTILL_INLINE std::string to_string(const expert_usage& usage) {
  std::string text = "experts " + std::to_string(usage.experts) + ", assignments " +
                     std::to_string(usage.assignments) + ", unused " + std::to_string(usage.unused) +
                     "\neffective experts " + detail::fixed_text(usage.effective_experts, 1) + ", entropy " +
                     detail::fixed_text(usage.entropy, 2) + " nats\nlargest / mean " +
                     detail::fixed_text(usage.largest_over_mean, 2) + ", coefficient of variation " +
                     detail::fixed_text(usage.coefficient_of_variation, 2) + "\nexpert   share\n";
  constexpr std::size_t most_lines = 32;
  const double largest =
      usage.shares.empty() ? 0 : *std::max_element(usage.shares.begin(), usage.shares.end());
  std::vector<std::size_t> order(usage.shares.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const bool abridged = order.size() > most_lines;
  if (abridged)
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return usage.shares[a] > usage.shares[b]; });
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (abridged && i == most_lines / 2) {
      const std::size_t skipped = order.size() - most_lines;
      text += "   ...  " + std::to_string(skipped) + " more\n";
      i += skipped;
    }
    text += detail::usage_line(usage, order[i], largest);
  }
  return text;
}

}  // namespace distill::inline DISTILL_ABI
