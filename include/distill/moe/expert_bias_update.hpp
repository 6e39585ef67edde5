#pragma once

#include <cstdint>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// How far an expert's bias moves for its distance from the mean load.
enum class bias_step {
  sign,         ///< u, up or down; 0 at exactly the mean
  proportional  ///< u times the distance relative to the mean
};

/// Loss-free balancing: once per optimizer step, experts with too few tokens become easier to choose.
///
/// b_i += u sign(n̄ - n_i), sign(0) = 0; or b_i += u (n̄ - n_i) / n̄. n: how many tokens chose each expert, over
/// the whole batch of the step; n̄ their mean. The bias is for the choice of experts only, never for their
/// weights. Shapes: assignments and bias [experts]. Options: `rate` u, finite, >= 0 (DeepSeek-V3: 1e-3, 0
/// near the end); `step`; `recentre`: subtract the mean of the steps from each, so that the biases do not
/// drift together. Throws: shape_error, parameter_error, data_error (negative counts), before anything is
/// written. Special values: no assignments at all leave the bias as it is. Means are compared in integers, so
/// the sign is exact. Cost: O(experts). Over processes: sum the assignments first; every process then gets
/// the same bits. Source: Wang et al. 2024, arXiv 2408.15664, algorithm 1.
struct expert_bias_update {
  double rate = 1e-3;
  bias_step step = bias_step::sign;
  bool recentre = false;

  void operator()(vector_view<const std::int64_t> assignments, vector_view<float> bias) const;
  bool operator==(const expert_bias_update&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/expert_bias_update-inl.hpp>
#endif
