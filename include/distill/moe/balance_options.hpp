#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/view/vector_view.hpp>
#include <optional>

namespace distill::inline DISTILL_ABI {

/// How a balance loss of statistics is reduced and where its slopes go; the last argument of each.
struct balance_options {
  /// Divides instead of the statistics' own count of tokens (sequence_balance_loss: of sequences); finite, >
  /// 0. With the count over a whole accumulated or distributed batch, values and gradients of its parts add
  /// up to the batch's.
  std::optional<double> denominator = std::nullopt;
  /// Add to the slopes instead of overwriting them: several losses at once.
  bool accumulate = false;
};

/// What a row of router scores holds.
enum class router_scores {
  softmax,  ///< probabilities over the experts
  sigmoid   ///< one sigmoid for each expert; the router's probabilities are these divided by their sum
};

/// How tokens enter a function of router scores or logits.
struct token_options {
  router_scores scores = router_scores::softmax;
  /// [tokens] 0: the token is padding, not counted, its gradient 0, whatever its row holds. Empty: every
  /// token counts.
  vector_view<const float> token_mask = {};
  /// Add to a gradient instead of overwriting it.
  bool accumulate = false;
  executor_ref executor = {};
};

}  // namespace distill::inline DISTILL_ABI
