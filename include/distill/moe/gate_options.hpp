#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/moe/router_statistics.hpp>
#include <distill/numeric/philox.hpp>
#include <distill/view/matrix_view.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// What goes into one call of a gate besides its parameters, the logits and the routing.
struct gate_options {
  /// [tokens] 0: padding. Its logits have no influence, its experts become -1, its weights and gradients 0,
  /// and it is not counted. Empty: every token counts.
  vector_view<const float> token_mask = {};
  /// Added to, not overwritten; null: nothing is counted (evaluation, the second forward call of
  /// recomputation).
  router_statistics* statistics = nullptr;
  /// The same of each sequence, a row each, of tokens / sequences consecutive tokens; with `statistics` or
  /// without.
  const sequence_statistics* sequences = nullptr;
  /// Where jitter and noise come from: the same numbers for the same (seed, step, token, expert), whoever
  /// runs what. A new step for each training step; the same in backward as in the forward call.
  random_stream random = {};
  /// [tokens, experts] standard deviations of the noise, times top_k_gate::noise. Empty: 1.
  matrix_view<const float> noise_deviation = {};
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once.
  distill::workspace* workspace = nullptr;
};

/// What goes into a gate's backward call. token_mask, random and noise_deviation as in the forward call.
struct gate_backward_options {
  vector_view<const float> token_mask = {};
  /// [1, experts], or [sequences, experts] with tokens_per_sequence: dLoss/dp of a token's router
  /// probability, as a balance loss linear in the probabilities gives it. Router probabilities are
  /// softmax(logits), or for sigmoid and sqrt_softplus the scores divided by their sum over the experts.
  /// Tokens with a logit that is not finite get none, as they are not in the statistics.
  matrix_view<const double> probability_slopes = {};
  /// How many tokens share a row of probability_slopes; 0: all.
  std::size_t tokens_per_sequence = 0;
  /// Factor of each counted token's log(Σ exp(logit))² in the loss: coefficient / tokens for the router
  /// z-loss.
  double z_loss = 0;
  /// Add to the gradient buffer instead of overwriting it.
  bool accumulate = false;
  random_stream random = {};
  matrix_view<const float> noise_deviation = {};
  executor_ref executor = {};
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
