#pragma once

#include <distill/moe/gate_options.hpp>
#include <distill/moe/gate_scoring.hpp>
#include <distill/moe/routing.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// The parameters of a gate, as the kernels take them.
struct gate_parameters {
  std::size_t k = 0;
  gate_scoring scoring = gate_scoring::softmax_then_top_k;
  bool renormalize = true;
  double scaling_factor = 1;
  vector_view<const float> expert_bias = {};
  std::size_t groups = 1, kept_groups = 1;
  group_scoring group_score = group_scoring::maximum;
  double jitter = 0, noise = 0;

  bool is_softmax() const {
    return scoring == gate_scoring::softmax_then_top_k || scoring == gate_scoring::top_k_then_softmax;
  }
  /// Weights that do not depend on the logits of experts that were not chosen.
  bool is_sparse() const { return scoring != gate_scoring::softmax_then_top_k || renormalize; }
  bool has_groups() const { return kept_groups < groups; }
  /// Chosen by something else than the logits.
  bool needs_scores() const {
    return !expert_bias.empty() || (has_groups() && group_score != group_scoring::maximum);
  }
};

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
  gate_parameters gate;
  input_matrix logits;
  matrix_view<std::int32_t> experts;
  output_matrix weights;
  bool replay = false;  // the experts are given
  vector_view<const float> token_mask;
  random_stream random;
  matrix_view<const float> noise_deviation;

  bool counts = false, sums_probabilities = false;
  std::size_t chunk = 0;             // tokens whose statistics are summed together
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

/// Checks the arguments and runs the tokens.
void route(const gate_parameters& gate, const char* function, const input_matrix& logits,
           const matrix_view<std::int32_t>& experts, const output_matrix& weights, bool replay,
           const gate_options& options);
void route_backward(const gate_parameters& gate, const char* function, const input_matrix& logits,
                    const matrix_view<const std::int32_t>& experts, const input_matrix& weight_gradient,
                    const output_matrix& gradient, bool selected_only, const gate_backward_options& options);

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/top_k_gate-inl.hpp>
#endif
