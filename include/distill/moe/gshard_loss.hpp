#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/moe/expert_load.hpp>

namespace distill::inline DISTILL_ABI {

/// The load-balancing loss of GShard: switch_loss with the share of first choices, however many experts a
/// token has.
///
/// Value: α E Σ_i f_i P_i, f_i = (tokens whose first choice is i) / T, P_i = Σ_t p_ti / T. α at perfect
/// balance. Slopes: α E f_i / T, dLoss/dp_ti of every counted token t. Shapes: statistics, load and slopes
/// [experts]. The load counts first choices only: `count_assignments(experts, counts, 1)`. It has its own
/// token count, so it may be summed over micro-batches and processes. Options: `coefficient` α, finite;
/// `balance_options`. Throws: shape_error, parameter_error, data_error (negative counts; more assignments
/// than tokens, so not first choices alone), before anything is written. Special values: no tokens, or none
/// in the load, give 0 and zero slopes. Cost: O(experts), sums in double. Slopes may be the memory of the
/// statistics' probability sums. Source: Lepikhin et al. 2020, arXiv 2006.16668, section 2.2; there with 1 /
/// E in the place of E.
struct gshard_loss {
  double coefficient = 0.01;

  /// The value; with slopes [experts] these too.
  double operator()(const router_statistics& statistics, const expert_load& first_choices,
                    vector_view<double> slopes = {}, const balance_options& options = {}) const;
  bool operator==(const gshard_loss&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/balance_losses-inl.hpp>
#endif
