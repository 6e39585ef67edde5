#pragma once

#include <cstdint>
#include <distill/view/matrix_view.hpp>

namespace distill::inline DISTILL_ABI {

/// Where each token goes: k experts and their weights, in memory that somebody else owns.
///
/// `experts` and `weights` are [tokens, k], any strides. An expert of -1 is no expert (a masked or dropped token) and
/// its weight is 0. Weights are float; double where the router's logits are double. Every other form of a routing
/// (dense map, bit map, experts in order with their tokens) is derived from this one.
template <class Weight = float>
struct routing {
  static_assert(std::same_as<Weight, float> || std::same_as<Weight, double>,
                "distill: routing weights are float or double");

  matrix_view<std::int32_t> experts = {};
  matrix_view<Weight> weights = {};

  constexpr std::size_t tokens() const { return experts.rows(); }
  constexpr std::size_t experts_per_token() const { return experts.columns(); }
};

template <class Weight>
routing(matrix_view<std::int32_t>, matrix_view<Weight>) -> routing<Weight>;

/// In a routing's expert ids: no expert.
inline constexpr std::int32_t no_expert = -1;

}  // namespace distill::inline DISTILL_ABI
