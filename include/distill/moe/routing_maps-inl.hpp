// Definitions of routing_maps.hpp. Compiled once in src/, or included by routing_maps.hpp in header-only
// mode.
#pragma once

#include <distill/moe/assignment_check-inl.hpp>
#include <distill/moe/routing_maps.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

template <class T>
void require_rows_of_tokens(const char* function, const char* what, const matrix_view<T>& m,
                            std::size_t columns, const char* unit, const char* reference,
                            std::size_t tokens) {
  require_extent(function, what, m.rows(), "tokens", reference, tokens);
  if (m.columns() != columns)
    throw shape_error(std::string(function) + ": " + what + " has " + std::to_string(m.columns()) + " " +
                      unit + ", needs " + std::to_string(columns));
  require_memory(function, what, m);
}

// Every choice is an expert, and the output is memory of its own.
template <class T>
void check_map(const char* function, const matrix_view<const std::int32_t>& experts, std::size_t expert_count,
               const char* what, const matrix_view<T>& out) {
  require_memory(function, "experts", experts);
  require_output(function, what, out);
  require_apart(function, {{what, bytes_of(out)}}, {{"experts", bytes_of(experts)}});
  require_indices<std::int32_t>(function, "experts", experts, expert_count);
}

template <class T>
void fill_zero(const matrix_view<T>& m) {
  for (std::size_t t = 0; t < m.rows(); ++t)
    for (std::size_t c = 0; c < m.columns(); ++c) m(t, c) = 0;
}

template <class F>
void for_each_choice(const matrix_view<const std::int32_t>& experts, F f) {
  for (std::size_t t = 0; t < experts.rows(); ++t)
    for (std::size_t j = 0; j < experts.columns(); ++j)
      if (experts(t, j) >= 0) f(t, j, static_cast<std::size_t>(experts(t, j)));
}

// is_chosen(t, e) says what the map holds.
template <class IsChosen>
void experts_from_map(const char* function, const matrix_view<const std::uint8_t>& map,
                      std::size_t expert_count, const matrix_view<std::int32_t>& experts,
                      IsChosen is_chosen) {
  require_extent(function, "experts", experts.rows(), "tokens", "map", map.rows());
  require_memory(function, "map", map);
  require_output(function, "experts", experts);
  require_apart(function, {{"experts", bytes_of(experts)}}, {{"map", bytes_of(map)}});
  for (std::size_t t = 0; t < map.rows(); ++t) {
    std::size_t chosen = 0;
    for (std::size_t e = 0; e < expert_count; ++e) chosen += is_chosen(t, e) ? 1 : 0;
    if (chosen > experts.columns())
      throw data_error(std::string(function) + ": map[" + std::to_string(t) + "] has " +
                       std::to_string(chosen) + " experts, must be at most " +
                       std::to_string(experts.columns()));
  }
  for (std::size_t t = 0; t < map.rows(); ++t) {
    std::size_t j = 0;
    for (std::size_t e = 0; e < expert_count; ++e)
      if (is_chosen(t, e)) experts(t, j++) = static_cast<std::int32_t>(e);
    for (; j < experts.columns(); ++j) experts(t, j) = no_expert;
  }
}

template <class Weight>
void spread_weights(const matrix_view<const std::int32_t>& experts, const matrix_view<const Weight>& weights,
                    const matrix_view<Weight>& dense) {
  constexpr const char* function = "to_dense_weights";
  require_extent(function, "dense", dense.rows(), "tokens", "experts", experts.rows());
  require_rows_of_tokens(function, "weights", weights, experts.columns(), "slots", "experts", experts.rows());
  require_apart(function, {{"dense", bytes_of(dense)}}, {{"weights", bytes_of(weights)}});
  check_map(function, experts, dense.columns(), "dense", dense);
  fill_zero(dense);
  for_each_choice(experts,
                  [&](std::size_t t, std::size_t j, std::size_t e) { dense(t, e) += weights(t, j); });
}

template <class Weight>
void pick_weights(const matrix_view<const Weight>& dense, const matrix_view<const std::int32_t>& experts,
                  const matrix_view<Weight>& weights) {
  constexpr const char* function = "from_dense_weights";
  require_extent(function, "dense", dense.rows(), "tokens", "experts", experts.rows());
  require_memory(function, "dense", dense);
  require_rows_of_tokens(function, "weights", weights, experts.columns(), "slots", "experts", experts.rows());
  require_apart(function, {{"weights", bytes_of(weights)}}, {{"dense", bytes_of(dense)}});
  check_map(function, experts, dense.columns(), "weights", weights);
  fill_zero(weights);
  for_each_choice(experts, [&](std::size_t t, std::size_t j, std::size_t e) { weights(t, j) = dense(t, e); });
}

inline bool bit_of(const matrix_view<const std::uint8_t>& map, std::size_t t, std::size_t e) {
  return (map(t, e / 8) >> (e % 8) & 1) != 0;
}

}  // namespace detail

DISTILL_INLINE void to_dense_map(matrix_view<const std::int32_t> experts, matrix_view<std::uint8_t> map) {
  detail::require_extent("to_dense_map", "map", map.rows(), "tokens", "experts", experts.rows());
  detail::check_map("to_dense_map", experts, map.columns(), "map", map);
  detail::fill_zero(map);
  detail::for_each_choice(experts, [&](std::size_t t, std::size_t, std::size_t e) { map(t, e) = 1; });
}

DISTILL_INLINE void to_bit_map(matrix_view<const std::int32_t> experts, std::size_t expert_count,
                               matrix_view<std::uint8_t> map) {
  detail::require_rows_of_tokens("to_bit_map", "map", map, bit_map_bytes(expert_count), "bytes", "experts",
                                 experts.rows());
  detail::check_map("to_bit_map", experts, expert_count, "map", map);
  detail::fill_zero(map);
  detail::for_each_choice(experts, [&](std::size_t t, std::size_t, std::size_t e) {
    map(t, e / 8) = static_cast<std::uint8_t>(map(t, e / 8) | 1u << e % 8);
  });
}

DISTILL_INLINE void from_dense_map(matrix_view<const std::uint8_t> map, matrix_view<std::int32_t> experts) {
  detail::experts_from_map("from_dense_map", map, map.columns(), experts,
                           [&](std::size_t t, std::size_t e) { return map(t, e) != 0; });
}

DISTILL_INLINE void from_bit_map(matrix_view<const std::uint8_t> map, std::size_t expert_count,
                                 matrix_view<std::int32_t> experts) {
  detail::require_rows_of_tokens("from_bit_map", "map", map, bit_map_bytes(expert_count), "bytes", "experts",
                                 experts.rows());
  detail::experts_from_map("from_bit_map", map, expert_count, experts,
                           [&](std::size_t t, std::size_t e) { return detail::bit_of(map, t, e); });
}

DISTILL_INLINE void to_dense_weights(matrix_view<const std::int32_t> experts,
                                     matrix_view<const float> weights, matrix_view<float> dense) {
  detail::spread_weights(experts, weights, dense);
}
DISTILL_INLINE void to_dense_weights(matrix_view<const std::int32_t> experts,
                                     matrix_view<const double> weights, matrix_view<double> dense) {
  detail::spread_weights(experts, weights, dense);
}
DISTILL_INLINE void from_dense_weights(matrix_view<const float> dense,
                                       matrix_view<const std::int32_t> experts, matrix_view<float> weights) {
  detail::pick_weights(dense, experts, weights);
}
DISTILL_INLINE void from_dense_weights(matrix_view<const double> dense,
                                       matrix_view<const std::int32_t> experts, matrix_view<double> weights) {
  detail::pick_weights(dense, experts, weights);
}

}  // namespace distill::inline DISTILL_ABI
