#pragma once

#include <cstdint>
#include <distill/view/vector_view.hpp>
#include <string>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// How evenly experts are used, in numbers that a person can read. Without assignments everything but
/// `experts` and `unused` is 0.
struct expert_usage {
  std::size_t experts = 0;
  std::int64_t assignments = 0;
  /// Each expert's share of the assignments; sums to 1.
  std::vector<double> shares = {};
  /// -Σ share log share, in nats; log(experts) at perfect balance.
  double entropy = 0;
  /// exp(entropy): how many experts used evenly would have this entropy.
  double effective_experts = 0;
  /// The largest load over the mean load: 1 at perfect balance, `experts` where one gets everything.
  double largest_over_mean = 0;
  /// Standard deviation over mean, of the experts as a whole population.
  double coefficient_of_variation = 0;
  /// Experts without a single assignment.
  std::size_t unused = 0;

  bool operator==(const expert_usage&) const = default;
};

/// Usage from counts [experts], as router_statistics have them. Throws data_error for a negative count.
/// Cost: O(experts), one allocation.
expert_usage usage_of(vector_view<const std::int64_t> assignments);

/// At most about 40 lines of text: the summary, then a bar for each expert; of more than 32 experts the 16
/// most and the 16 least used.
std::string to_string(const expert_usage& usage);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/expert_usage-inl.hpp>
#endif
