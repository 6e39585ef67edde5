#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/moe/router_statistics.hpp>

namespace distill::inline DISTILL_ABI {

/// The sequence-wise balance loss of DeepSeek-V3: every sequence balanced for itself, the mean over
/// sequences.
///
/// Value: α / S Σ_s Σ_i f_si P_si, f_si = E n_si / (k T_s), P_si = Σ_t p_ti / T_s over the tokens of sequence
/// s; S counts sequences that have tokens. α at perfect balance. f has no gradient. Slopes: α f_si / (S T_s),
/// dLoss/dp_ti of every counted token t of sequence s. Shapes: statistics and slopes [sequences, experts].
/// Options: `coefficient` α, finite; `experts_per_token` k, at least 1, must be given; `balance_options`,
/// whose denominator counts sequences. DeepSeek-V3 divides sigmoid scores by their sum over the experts to
/// get p. Throws: shape_error, parameter_error, data_error (negative counts), before anything is written.
/// Special values: a sequence without tokens gives 0 and zero slopes, and does not count in S.
/// Cost: O(sequences · experts), sums in double. Slopes may be the memory of the probability sums.
/// Source: DeepSeek-AI 2024, arXiv 2412.19437, section 2.1.2.
struct sequence_balance_loss {
  double coefficient = 1e-4;
  std::int64_t experts_per_token = 0;

  /// The value; with slopes [sequences, experts] these too.
  double operator()(const sequence_statistics& statistics, matrix_view<double> slopes = {},
                    const balance_options& options = {}) const;
  bool operator==(const sequence_balance_loss&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/balance_losses-inl.hpp>
#endif
