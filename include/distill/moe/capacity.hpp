#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/moe/routing.hpp>
#include <optional>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// Who keeps a place where more tokens chose an expert than it takes. Ties: the lower token, then the lower
/// slot.
enum class capacity_priority {
  position,    ///< the lower token, then the lower slot
  weight,      ///< the larger weight; NaN comes last
  choice,      ///< first choices before second choices and so on, each by token
  best_weight  ///< as choice, each by its token's largest weight (batch priority); NaN comes last
};

/// Where a capacity writes what it did, and how it runs.
struct capacity_options {
  /// [tokens, k] 1 where an assignment was dropped by this call, else 0. Empty: not wanted.
  matrix_view<std::uint8_t> dropped = {};
  /// [tokens, k] the place of each assignment among those its expert keeps, by token and then by slot: its
  /// row in an [experts, capacity, width] buffer, and the row that order_by_expert gives it; -1 where there
  /// is none.
  matrix_view<std::int32_t> locations = {};
  /// Used by capacity_priority::weight.
  executor_ref executor = {};
  /// Scratch kept between calls, about 24 bytes for each assignment; without one the call allocates its own.
  distill::workspace* workspace = nullptr;
};

/// What a capacity did to a routing.
struct capacity_report {
  std::int64_t tokens_per_expert = 0;  ///< the capacity
  std::int64_t assignments = 0;        ///< before the drop, without no_expert
  std::int64_t dropped = 0;            ///< of them

  bool operator==(const capacity_report&) const = default;
};

/// At most so many tokens to each expert: the assignments beyond it become no_expert with weight 0.
///
/// Deterministic: the same assignments survive for any executor. GShard and Switch use choice with a factor;
/// Megatron-LM's `probs` is weight, its `position` is position; V-MoE's batch prioritised routing is
/// best_weight.
struct capacity {
  /// Of each expert; >= 0. Not given: from the factor.
  std::optional<std::int64_t> tokens_per_expert = {};
  /// ceil(tokens k factor / experts), where a quotient within 1e-12 of an integer is that integer, and at
  /// most tokens k. Finite and > 0.
  double factor = 1;
  /// The factor gives at least this; >= 0.
  std::int64_t minimum = 0;
  capacity_priority priority = capacity_priority::position;
  /// What the surviving weights of a token add up to after the drop. Not given: they stay as they are, so
  /// that weights normalised before the drop keep their part. A token whose survivors add up to 0 keeps them.
  /// Finite and > 0.
  std::optional<double> weight_sum = {};

  bool operator==(const capacity&) const = default;

  /// The capacity of each expert. Throws parameter_error.
  std::int64_t of(std::size_t tokens, std::size_t experts_per_token, std::size_t experts) const;

  /// Writes the survivors of `routed` to `kept`, which may be exactly the same memory.
  ///
  /// Shapes: [tokens, k] all, any strides; ids in [0, experts) or no_expert. Throws: data_error for an id out
  /// of range, shape_error, parameter_error, layout_error; before anything is written. Weights: rescaled in
  /// double, one rounding. Cost: two passes; best_weight sorts the tokens, weight selects within the experts
  /// that are too full.
  template <class Weight>
  capacity_report operator()(const routing<Weight>& routed, const routing<Weight>& kept, std::size_t experts,
                             const capacity_options& options = {}) const;

  /// The gradient of routed.weights from that of kept.weights: 0 for what was dropped; the survivors' own
  /// where the weights stayed as they are; (c / S)(u_j - Σ u w / S) where they were rescaled to the sum c, w
  /// the weights before and S their sum over the survivors. Who survives has no gradient.
  ///
  /// Shapes: upstream and gradient [tokens, k]; the gradient may be exactly the upstream's memory. `routed`
  /// holds what came before the drop, so it may not be the memory of `kept` where weight_sum is given. Errors
  /// as above.
  template <class Weight>
  void backward(const routing<Weight>& routed, const routing<Weight>& kept,
                std::type_identity_t<matrix_view<const Weight>> upstream,
                std::type_identity_t<matrix_view<Weight>> gradient) const;
};

namespace detail {

capacity_report apply_capacity(const capacity& limit, const routing<float>& routed,
                               const routing<float>& kept, std::size_t experts,
                               const capacity_options& options);
capacity_report apply_capacity(const capacity& limit, const routing<double>& routed,
                               const routing<double>& kept, std::size_t experts,
                               const capacity_options& options);
void capacity_backward(const capacity& limit, const routing<float>& routed, const routing<float>& kept,
                       const matrix_view<const float>& upstream, const matrix_view<float>& gradient);
void capacity_backward(const capacity& limit, const routing<double>& routed, const routing<double>& kept,
                       const matrix_view<const double>& upstream, const matrix_view<double>& gradient);

}  // namespace detail

template <class Weight>
capacity_report capacity::operator()(const routing<Weight>& routed, const routing<Weight>& kept,
                                     std::size_t experts, const capacity_options& options) const {
  return detail::apply_capacity(*this, routed, kept, experts, options);
}

template <class Weight>
void capacity::backward(const routing<Weight>& routed, const routing<Weight>& kept,
                        std::type_identity_t<matrix_view<const Weight>> upstream,
                        std::type_identity_t<matrix_view<Weight>> gradient) const {
  detail::capacity_backward(*this, routed, kept, upstream, gradient);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/capacity-inl.hpp>
#endif
