#pragma once

#include <distill/moe/router_statistics.hpp>

namespace distill::inline DISTILL_ABI {

/// How many of a number of tokens went to each expert: the counts of a balance loss with the total they
/// belong to.
///
/// The two travel together, so that counts summed over micro-batches and processes cannot be divided by the
/// tokens of one of them. Which counts, is the caller's choice: of the experts that the router chose (the
/// usual one), of those the tokens were sent to, or of what was left after a capacity.
struct expert_load {
  /// [experts] >= 0.
  vector_view<const std::int64_t> assignments = {};
  /// The tokens that were counted, also those that lost all their experts to a capacity.
  std::int64_t tokens = 0;
  /// Tokens with a logit that is not finite: in the assignments, not in `tokens`.
  std::int64_t bad_rows = 0;
};

/// The load that statistics hold.
inline expert_load load_of(const router_statistics& statistics) {
  return {statistics.assignments, statistics.tokens, statistics.bad_rows};
}

}  // namespace distill::inline DISTILL_ABI
