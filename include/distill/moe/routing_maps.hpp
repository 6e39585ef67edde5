#pragma once

#include <cstdint>
#include <distill/moe/routing.hpp>

namespace distill::inline DISTILL_ABI {

/// Bytes of one token's row of a bit map: ceil(experts / 8).
constexpr std::size_t bit_map_bytes(std::size_t experts) { return experts / 8 + (experts % 8 != 0 ? 1 : 0); }

/// map(t, e) = 1 if one of token t's choices is expert e, else 0.
///
/// Shapes: experts [tokens, k], ids in [0, map.columns()) or no_expert; map [tokens, experts] bytes; any
/// strides. Throws: data_error for an id out of range, shape_error, layout_error; before anything is written.
void to_dense_map(matrix_view<const std::int32_t> experts, matrix_view<std::uint8_t> map);

/// Bit e % 8 of map(t, e / 8), the lowest first, is 1 if one of token t's choices is expert e, else 0.
///
/// Shapes: map [tokens, bit_map_bytes(experts)]; the bits beyond the last expert are 0. Errors as
/// to_dense_map.
void to_bit_map(matrix_view<const std::int32_t> experts, std::size_t expert_count,
                matrix_view<std::uint8_t> map);

/// experts(t, ·) = the experts of token t in `map`, ascending, then no_expert. Any byte that is not 0 is a
/// choice.
///
/// The slots' order is not in a map: what comes back is the routing with each token's experts sorted. Throws:
/// data_error for a token with more experts than experts.columns(), shape_error, layout_error; before
/// anything is written.
void from_dense_map(matrix_view<const std::uint8_t> map, matrix_view<std::int32_t> experts);

/// The same from a bit map of `expert_count` experts; bits beyond them are ignored.
void from_bit_map(matrix_view<const std::uint8_t> map, std::size_t expert_count,
                  matrix_view<std::int32_t> experts);

/// dense(t, e) = the weight of expert e for token t, 0 where it was not chosen; an expert chosen twice has
/// the sum, in the order of the slots.
///
/// Shapes: weights as experts [tokens, k], dense [tokens, experts]. Errors as to_dense_map. The gradient of
/// from_dense_weights.
void to_dense_weights(matrix_view<const std::int32_t> experts, matrix_view<const float> weights,
                      matrix_view<float> dense);
void to_dense_weights(matrix_view<const std::int32_t> experts, matrix_view<const double> weights,
                      matrix_view<double> dense);

/// weights(t, j) = dense(t, experts(t, j)), 0 for no_expert. The gradient of to_dense_weights: from the
/// gradient of the dense weights to that of each choice. Errors as to_dense_map.
void from_dense_weights(matrix_view<const float> dense, matrix_view<const std::int32_t> experts,
                        matrix_view<float> weights);
void from_dense_weights(matrix_view<const double> dense, matrix_view<const std::int32_t> experts,
                        matrix_view<double> weights);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/routing_maps-inl.hpp>
#endif
