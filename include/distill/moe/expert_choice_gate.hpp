#pragma once

#include <distill/execution/workspace.hpp>
#include <distill/moe/balance_options.hpp>
#include <distill/moe/routing.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// Which tokens each expert takes, in memory that somebody else owns: tokens and weights [experts, tokens per
/// expert]. Each expert's tokens ascend. -1 is no token, with weight 0; these come last. Weights: float;
/// double for double logits.
template <class Weight = float>
struct expert_choice {
  static_assert(std::same_as<Weight, float> || std::same_as<Weight, double>,
                "distill: expert choice weights are float or double");

  matrix_view<std::int32_t> tokens = {};
  matrix_view<Weight> weights = {};
};

template <class Weight>
expert_choice(matrix_view<std::int32_t>, matrix_view<Weight>) -> expert_choice<Weight>;

/// Expert choice routing: every expert takes the C tokens that want it most, so the load is even by
/// construction.
///
/// p = softmax(logits) over experts; expert e takes the C tokens with the largest p_te (ties: the lower
/// token), with weight p_te. A token may get no expert, or all; not causal: a token's experts depend on the
/// batch. Backward: dz_tj = p_tj (g_tj m_tj - Σ_e g_te m_te p_te), m = 1 where expert e took token t. Shapes:
/// logits [tokens, experts], any strides and element types; C as `tokens_per_expert` says. Options:
/// `capacity_factor`: experts per token on average, finite, > 0; C = ceil(factor · tokens / experts), at
/// least 1 and at most the tokens; `capacity`: C itself, >= 0 (0: from the factor), at most the tokens. Of
/// `token_options` the mask (a masked token is never taken), executor and, backward, accumulate. Throws:
/// shape_error, parameter_error, layout_error, data_error (backward: a token outside the batch, or one
/// twice), before anything is written. No tokens: C is 0 and nothing happens. Special values: a token with
/// NaN, +inf or only -inf is taken last, with weight 0 and gradient 0, so ids are distinct and in range
/// whatever the logits hold. Slots beyond the counted tokens are -1. Accuracy: weights as softmax's. Cost:
/// one exponential per logit and a radix selection per expert; 4 bytes (8 in double) per logit from the
/// workspace, backward twice that. The bits do not depend on the executor. Source: Zhou et al. 2022, arXiv
/// 2202.09368, section 3.2.
struct expert_choice_gate {
  double capacity_factor = 1;
  std::int64_t capacity = 0;

  /// C: the columns of `expert_choice`.
  std::size_t tokens_per_expert(std::size_t tokens, std::size_t experts) const;

  /// Fills the choice; returns how many counted tokens have logits without a softmax.
  template <class Logits, class Weight>
  std::int64_t operator()(Logits&& logits, const expert_choice<Weight>& out, const token_options& tokens = {},
                          workspace* memory = nullptr) const {
    return choose(as_view(std::forward<Logits>(logits)), out.tokens, detail::output_matrix(out.weights),
                  tokens, memory);
  }
  /// dLoss/dlogits from dLoss/dweights [experts, C]; elements of the logits' type, or float for 16 bits.
  template <class Logits, class Weight, class Gradient>
  void backward(Logits&& logits, const expert_choice<Weight>& made,
                matrix_view<const std::type_identity_t<Weight>> weight_gradient, Gradient&& logit_gradient,
                const token_options& tokens = {}, workspace* memory = nullptr) const {
    run_backward(as_view(std::forward<Logits>(logits)), made.tokens, weight_gradient,
                 detail::written_to(std::forward<Gradient>(logit_gradient)), tokens, memory);
  }
  bool operator==(const expert_choice_gate&) const = default;

 private:
  std::int64_t choose(const detail::input_matrix& logits, matrix_view<std::int32_t> chosen,
                      const detail::output_matrix& weights, const token_options& tokens,
                      workspace* memory) const;
  void run_backward(const detail::input_matrix& logits, matrix_view<const std::int32_t> chosen,
                    const detail::input_matrix& weight_gradient, const detail::output_matrix& gradient,
                    const token_options& tokens, workspace* memory) const;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/expert_choice_gate-inl.hpp>
#endif
