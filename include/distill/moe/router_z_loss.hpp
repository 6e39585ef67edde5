#pragma once

#include <distill/execution/workspace.hpp>
#include <distill/moe/balance_options.hpp>
#include <distill/moe/router_statistics.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// The router z-loss of ST-MoE: keeps the router's logits small.
///
/// Value: β / T Σ_t (log Σ_i exp z_ti)². Gradient: 2 β / T · lse_t · p_ti, p = softmax(z).
/// Options: `coefficient` β, finite; `balance_options` (its denominator in the place of T).
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Special values: no counted tokens give 0 and a zero gradient. A token with a logit that is not finite is
/// left out of the sum and of T, and its gradient is 0. Source: Zoph et al. 2022, arXiv 2202.08906,
/// section 3.3, equation 5.
struct router_z_loss {
  double coefficient = 1e-3;

  /// The value, from the statistics' sum of squares; O(1).
  double operator()(const router_statistics& statistics, const balance_options& options = {}) const;
  /// β / T: what each token's squared log Σ exp is multiplied by, for a backward that is fused with the
  /// gate's.
  double slope(const router_statistics& statistics, const balance_options& options = {}) const;

  /// The value from the logits [tokens, experts] themselves, and their gradient: the same element type, or
  /// float for 16 bits; not the logits' own memory. Of `token_options` the mask, accumulate, executor. Cost:
  /// two exponentials per logit; 8 bytes per token from the workspace, and a copy of the gradient where it is
  /// added to.
  template <class Logits, class Gradient>
  double with_gradient(Logits&& logits, Gradient&& gradient, const balance_options& options = {},
                       const token_options& tokens = {}, workspace* memory = nullptr) const {
    return evaluate_logits(as_view(std::forward<Logits>(logits)),
                           detail::written_to(std::forward<Gradient>(gradient)), options, tokens, memory);
  }
  bool operator==(const router_z_loss&) const = default;

 private:
  double evaluate_logits(const detail::input_matrix& logits, const detail::output_matrix& gradient,
                         const balance_options& options, const token_options& tokens,
                         workspace* memory) const;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/router_z_loss-inl.hpp>
#endif
