#pragma once

#include <distill/moe/gate_options.hpp>
#include <distill/moe/gate_scoring.hpp>
#include <distill/moe/routing.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <distill/view/written_to.hpp>
#include <type_traits>
#include <utility>

namespace distill::inline DISTILL_ABI {

struct top_k_gate;

namespace detail {

/// Checks the arguments and runs the tokens.
void route(const top_k_gate& gate, const char* function, const input_matrix& logits,
           const matrix_view<std::int32_t>& experts, const output_matrix& weights, bool replay,
           const gate_options& options);
void route_backward(const top_k_gate& gate, const char* function, const input_matrix& logits,
                    const matrix_view<const std::int32_t>& experts, const input_matrix& weight_gradient,
                    const output_matrix& gradient, bool selected_only, const gate_backward_options& options);

}  // namespace detail

/// In the weight gradient's place: the loss does not depend on the weights, only on the router's
/// probabilities.
struct no_weight_gradient_t {};
inline constexpr no_weight_gradient_t no_weight_gradient{};

/// The top-k gate of a mixture of experts: each token's k experts and their weights, and the gradient back to
/// the logits.
///
/// Scores s of the logits z: `scoring`. Chosen: the k experts that are largest in z, or in s + bias with
/// `expert_bias`; with top_k_then_softmax in z + bias. Weights of the chosen experts S: w_i = c s_i / Σ_S s
/// with `renormalize`, c s_i without, c being `scaling_factor`; top_k_then_softmax: c softmax(z over S)
/// whatever `renormalize` says. Shapes: logits [tokens, experts] of any element type and strides; the routing
/// [tokens, k], weights double for double logits or float. Any number of experts >= 1, 1 <= k <= experts; no
/// tokens: nothing happens. Order: largest choice value first, equal values by index, lower first, on every
/// SIMD target; the same for groups. A logit counts as the nearest finite number and NaN as the lowest:
/// always k distinct experts and finite weights. Options: `expert_bias` [experts], for the choice only.
/// `groups` of neighbouring experts, of which `kept_groups` are chosen from, by `group_score`; 1 and 1: no
/// groups. `jitter` in [0, 1): logits times a uniform number in [1 - jitter, 1 + jitter]. `noise` >= 0: then
/// plus noise times gate_options::noise_deviation times a normal number. Everything, statistics and gradients
/// included, sees the logits so changed. Throws: shape_error, parameter_error, layout_error, and data_error
/// for an expert that is not one, before anything is written. Special values: a sum of scores below the
/// smallest normal number is held at it, so weights are never 0 / 0. k = 1 with normalised weights has w = c
/// and no gradient: choose renormalize = false there. Accuracy: `docs/moe/top_k_gate.md`. Cost: k
/// exponentials for a token where the weights are normalised, one for each logit where they are not, or the
/// probabilities are counted. Memory: some rows of logits per thread, from the workspace. Threads: the bits
/// of routing, statistics and gradients do not depend on the executor. Source: Shazeer et al. 2017, arXiv
/// 1701.06538, section 2.1; Fedus et al. 2021, arXiv 2101.03961; DeepSeek-V3, arXiv 2412.19437,
/// section 2.1.2.
struct top_k_gate {
  std::size_t k = 2;
  gate_scoring scoring = gate_scoring::softmax_then_top_k;
  bool renormalize = true;
  double scaling_factor = 1;
  vector_view<const float> expert_bias = {};
  std::size_t groups = 1, kept_groups = 1;
  group_scoring group_score = group_scoring::maximum;
  double jitter = 0;
  double noise = 0;

  /// Writes the experts and their weights.
  template <class Logits, class Weight>
  void operator()(Logits&& logits, const routing<Weight>& to, const gate_options& options = {}) const {
    run("top_k_gate", std::forward<Logits>(logits), to, false, options);
  }

  /// Reads the experts and writes their weights. An expert of -1 is none: it has the weight 0 and no part in
  /// the sum.
  template <class Logits, class Weight>
  void replay(Logits&& logits, const routing<Weight>& of, const gate_options& options = {}) const {
    run("top_k_gate::replay", std::forward<Logits>(logits), of, true, options);
  }

  /// The gradient of the logits, [tokens, experts], from that of the weights, [tokens, k] float or double,
  /// and from the losses in `options`. Reads routing.experts, as the gate or `replay` left them, not
  /// routing.weights.
  ///
  /// With v = w / c: normalised softmax c v_j (g_j - Σ_S g v) for j in S, 0 elsewhere; softmax without,
  /// p_j (c g_j [j in S] - c Σ_S g p); sigmoid and sqrt_softplus c v_j (g_j - Σ_S g v) s'_j / s_j, without
  /// the sum if not normalised. Slopes a: p_j (a_j - Σ a p); z_loss β: 2 β lse p_j.
  template <class Logits, class Weight, class WeightGradient, class Gradient>
  void backward(Logits&& logits, const routing<Weight>& of, WeightGradient&& weight_gradient,
                Gradient&& gradient, const gate_backward_options& options = {}) const {
    detail::route_backward(*this, "top_k_gate::backward", as_view(std::forward<Logits>(logits)), of.experts,
                           gradient_of(std::forward<WeightGradient>(weight_gradient)),
                           detail::written_to(std::forward<Gradient>(gradient)), false, options);
  }

  /// The same at the chosen experts only, [tokens, k]; everywhere else it is 0. Not for softmax_then_top_k
  /// without `renormalize`, nor with slopes or z_loss, whose gradients are dense: parameter_error.
  template <class Logits, class Weight, class WeightGradient, class Gradient>
  void backward_selected(Logits&& logits, const routing<Weight>& of, WeightGradient&& weight_gradient,
                         Gradient&& selected_gradient, const gate_backward_options& options = {}) const {
    detail::route_backward(*this, "top_k_gate::backward_selected", as_view(std::forward<Logits>(logits)),
                           of.experts, gradient_of(std::forward<WeightGradient>(weight_gradient)),
                           detail::written_to(std::forward<Gradient>(selected_gradient)), true, options);
  }

 private:
  template <class Logits, class Weight>
  void run(const char* function, Logits&& logits, const routing<Weight>& to, bool replayed,
           const gate_options& options) const {
    const auto view = as_view(std::forward<Logits>(logits));
    constexpr bool is_double = std::is_same_v<std::remove_const_t<typename decltype(view)::element>, double>;
    static_assert(is_double || std::is_same_v<Weight, float>,
                  "distill: routing weights are double for double logits only");
    detail::route(*this, function, view, to.experts, to.weights, replayed, options);
  }
  template <class X>
  static detail::input_matrix gradient_of(X&& x) {
    if constexpr (std::is_same_v<std::remove_cvref_t<X>, no_weight_gradient_t>)
      return {};
    else
      return as_view(std::forward<X>(x));
  }
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/gate_job.hpp>
#endif
