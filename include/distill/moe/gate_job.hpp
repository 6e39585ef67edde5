#pragma once

#include <algorithm>
#include <distill/moe/top_k_gate.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// Byte offsets into a worker's scratch. A tile is as many tokens as a vector has lanes.
struct gate_scratch {
  std::size_t pitch = 0;  // elements from one row to the next
  std::size_t rows = 0, prepared = 0, exponentials = 0, tile = 0, staging = 0, sums = 0, bias = 0;
  std::size_t values = 0, ids = 0, keys = 0, candidates = 0, candidate_ids = 0;
  std::size_t logits = 0, weights = 0, upstream = 0, experts = 0, sorted = 0;
  std::size_t bytes = 0;
};

/// Everything a kernel needs for a range of tokens, already checked.
struct gate_job {
  top_k_gate gate;
  input_matrix logits;
  matrix_view<std::int32_t> experts;
  output_matrix weights;
  bool replay = false;  // the experts are given
  vector_view<const float> token_mask;
  random_stream random;
  matrix_view<const float> noise_deviation;

  bool counts = false, sums_probabilities = false;
  std::size_t sequence = 0;          // tokens whose statistics go to the same place
  std::size_t chunk = 0;             // those of them that are summed together
  std::int64_t* counters = nullptr;  // per chunk: assignments, tokens, bad rows
  double* sums = nullptr;            // per chunk: probabilities, squared log-sum-exps

  input_matrix weight_gradient;
  output_matrix gradient;
  bool selected_only = false;  // the gradient is [tokens, k]
  matrix_view<const double> slopes;
  std::size_t tokens_per_sequence = 0;
  double z_loss = 0;
  bool accumulate = false;

  bool across_tokens = false;  // few experts: the tile is transposed
  gate_scratch scratch;

  std::size_t tokens() const { return logits.rows; }
  std::size_t expert_count() const { return logits.columns; }
  bool is_counted(std::size_t token) const { return token_mask.empty() || token_mask[token] != 0; }
  /// Weights are a softmax of logits.
  bool is_softmax() const {
    return gate.scoring == gate_scoring::softmax_then_top_k ||
           gate.scoring == gate_scoring::top_k_then_softmax;
  }
  /// Weights do not depend on the logits of experts that were not chosen.
  bool is_sparse() const { return gate.scoring != gate_scoring::softmax_then_top_k || gate.renormalize; }
  bool has_groups() const { return gate.kept_groups < gate.groups; }
  /// Chosen by something else than the logits.
  bool needs_scores() const {
    return !gate.expert_bias.empty() || (has_groups() && gate.group_score != group_scoring::maximum);
  }
  std::size_t sequences() const { return tokens() / sequence; }
  std::size_t chunks_per_sequence() const { return (sequence + chunk - 1) / chunk; }
  std::size_t chunk_begin(std::size_t c) const {
    return c / chunks_per_sequence() * sequence + c % chunks_per_sequence() * chunk;
  }
  std::size_t chunk_end(std::size_t c) const {
    return std::min(chunk_begin(c) + chunk, (c / chunks_per_sequence() + 1) * sequence);
  }
  bool is_perturbed() const { return gate.jitter > 0 || gate.noise > 0; }
  double jitter_factor(std::size_t token, std::size_t expert) const {
    return gate.jitter > 0 ? 1 + gate.jitter * (2 * random.uniform(token, expert) - 1) : 1;
  }
  double noise(std::size_t token, std::size_t expert) const {
    if (!(gate.noise > 0)) return 0;
    const double deviation =
        noise_deviation.rows() == 0 ? 1 : static_cast<double>(noise_deviation(token, expert));
    return gate.noise * deviation * random.normal(token, expert);
  }
};

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/top_k_gate-inl.hpp>
#endif
