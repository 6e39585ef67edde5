#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/moe/routing.hpp>

namespace distill::inline DISTILL_ABI {

/// The squared coefficient of variation of each expert's importance, its sum of routing weights.
///
/// Value: α Var(I) / (Ī² + ε), I_i = Σ_t w_ti. 0 at perfect balance.
/// Slopes: α (2 (I_i - Ī) / ((E - u)(Ī² + ε)) - 2 Ī Var / (E (Ī² + ε)²)), dLoss/dw of every assignment to
/// expert i. Shapes: importance and slopes [experts]; `sum_weights` makes the first, `spread_slopes` takes
/// the second to the weights. Options: `coefficient` α, finite; `epsilon` ε, finite, >= 0; `unbiased`: u = 1,
/// Var is divided by E - 1, else u = 0. Throws: shape_error, parameter_error, before anything is written.
/// Special values: sums that are all 0 (no tokens), and one expert, give 0 and zero slopes. NaN gives NaN.
/// Cost: O(experts), in double. Slopes may be the memory of the importance. Over processes: sum the
/// importance first. Source: Shazeer et al. 2017, arXiv 1701.06538, section 4.
struct importance_loss {
  double coefficient = 0.1;
  double epsilon = 1e-10;
  bool unbiased = true;

  /// The value; with slopes [experts] these too.
  double operator()(vector_view<const double> importance, vector_view<double> slopes = {}) const;
  bool operator==(const importance_loss&) const = default;
};

/// Adds each expert's routing weights to `sums` [experts], in the order of tokens.
/// Throws: shape_error, layout_error, data_error for an expert outside [0, experts) that is not -1; nothing
/// is written then.
void sum_weights(const routing<float>& from, vector_view<double> sums);
void sum_weights(const routing<double>& from, vector_view<double> sums);

/// Writes slopes[expert] of each assignment to the gradient of its weight [tokens, k]; 0 where there is no
/// expert. `accumulate` adds instead. Throws as sum_weights.
void spread_slopes(matrix_view<const std::int32_t> experts, vector_view<const double> slopes,
                   matrix_view<float> weight_gradient, bool accumulate = false);
void spread_slopes(matrix_view<const std::int32_t> experts, vector_view<const double> slopes,
                   matrix_view<double> weight_gradient, bool accumulate = false);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/importance_loss-inl.hpp>
#endif
