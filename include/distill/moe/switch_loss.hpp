#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/moe/expert_load.hpp>

namespace distill::inline DISTILL_ABI {

/// The load-balancing loss of Switch Transformers, for k experts per token.
///
/// Value: α E Σ_i f_i P_i, f_i = n_i / (k T), the share of assignments; P_i = Σ_t p_ti / T, the mean router
/// probability. α at perfect balance, α E where one expert gets everything. f has no gradient. Slopes: α E
/// f_i / T, dLoss/dp_ti of every counted token t; the gate's backward takes them, or balance_backward.
/// Shapes: statistics and slopes [experts].
/// Options: `coefficient` α, finite; `experts_per_token` k, at least 1, must be given (some libraries leave
/// out the 1 / k: their α is this one times 1 / k); `balance_options`. Global batch: pass the load of all
/// micro-batches and processes, which has its own token count; p is local. Throws: shape_error,
/// parameter_error, data_error (negative counts, more assignments than k per token), before anything is
/// written. Special values: no tokens, or none in the load, give 0 and zero slopes. Cost: O(experts), sums in
/// double. Slopes may be the memory of the statistics' probability sums. Source: Fedus, Zoph, Shazeer 2021,
/// arXiv 2101.03961, section 2.2; global batch: Qiu et al. 2025, arXiv 2501.11873.
struct switch_loss {
  double coefficient = 0.01;
  std::int64_t experts_per_token = 0;

  /// The value; with slopes [experts] these too. f and P come from the same tokens.
  double operator()(const router_statistics& statistics, vector_view<double> slopes = {},
                    const balance_options& options = {}) const {
    return (*this)(statistics, load_of(statistics), slopes, options);
  }
  /// P from the statistics, f from a load that other tokens may have made.
  double operator()(const router_statistics& statistics, const expert_load& load,
                    vector_view<double> slopes = {}, const balance_options& options = {}) const;
  bool operator==(const switch_loss&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/balance_losses-inl.hpp>
#endif
