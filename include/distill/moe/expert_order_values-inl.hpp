// The other half of the definitions of expert_order.hpp: out of an order, and numbers into and out of it.
#pragma once

#include <distill/moe/expert_order_check-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void check_offsets(const char* function, const expert_order& order) {
  for (std::size_t e = 0; e < order.experts(); ++e)
    if (order.offsets[e] < 0 || order.offsets[e] > order.offsets[e + 1])
      throw data_error(std::string(function) + ": offsets[" + std::to_string(e) + "] is " +
                       std::to_string(order.offsets[e]) + ", must be in [0, offsets[" +
                       std::to_string(e + 1) + "] = " + std::to_string(order.offsets[e + 1]) + "]");
}

// Every row is padding, or a token and slot of `experts`.
inline void check_places(const char* function, const expert_order& order, std::size_t rows,
                         std::size_t tokens, std::size_t slots) {
  const auto require = [&](const char* what, std::size_t row, std::int32_t got, std::size_t limit) {
    if (got < 0 || static_cast<std::size_t>(got) >= limit)
      throw data_error(std::string(function) + ": " + what + "[" + std::to_string(row) + "] is " +
                       std::to_string(got) + ", must be in [0, " + std::to_string(limit) + ") or -1 in both");
  };
  for (std::size_t row = 0; row < rows; ++row) {
    if (order.tokens[row] == -1 && order.slots[row] == -1) continue;
    require("tokens", row, order.tokens[row], tokens);
    require("slots", row, order.slots[row], slots);
  }
}

template <class Weight>
void put_in_order(const matrix_view<const Weight>& weights, const expert_order& order,
                  const vector_view<Weight>& in_order) {
  constexpr const char* function = "weights_in_order";
  check_rows_of_order(function, order, "weights", weights.rows(), weights.columns());
  const std::size_t rows = rows_of_order(function, order);
  require_memory(function, "weights", weights);
  require_entries(function, "in_order", in_order, rows);
  require_output(function, "in_order", in_order);
  require_apart(
      function, {{"in_order", bytes_of(in_order)}},
      {{"weights", bytes_of(weights)}, {"rows", bytes_of(order.rows)}, {"tokens", bytes_of(order.tokens)}});
  if (!order.tokens.empty())
    for (std::size_t row = 0; row < rows; ++row)
      if (order.tokens[row] < 0) in_order[row] = 0;
  for (std::size_t t = 0; t < weights.rows(); ++t)
    for (std::size_t j = 0; j < weights.columns(); ++j)
      if (const std::int64_t row = order.rows(t, j); row >= 0)
        in_order[static_cast<std::size_t>(row)] = weights(t, j);
}

template <class Weight>
void take_out_of_order(const vector_view<const Weight>& in_order, const expert_order& order,
                       const matrix_view<Weight>& weights) {
  constexpr const char* function = "weights_from_order";
  check_rows_of_order(function, order, "weights", weights.rows(), weights.columns());
  require_memory(function, "in_order", in_order);
  require_entries(function, "in_order", in_order, rows_of_order(function, order));
  require_output(function, "weights", weights);
  require_apart(function, {{"weights", bytes_of(weights)}},
                {{"in_order", bytes_of(in_order)}, {"rows", bytes_of(order.rows)}});
  for (std::size_t t = 0; t < weights.rows(); ++t)
    for (std::size_t j = 0; j < weights.columns(); ++j) {
      const std::int64_t row = order.rows(t, j);
      weights(t, j) = row < 0 ? Weight(0) : in_order[static_cast<std::size_t>(row)];
    }
}

}  // namespace detail

DISTILL_INLINE void experts_from_order(const expert_order& order, matrix_view<std::int32_t> experts) {
  constexpr const char* function = "experts_from_order";
  const std::size_t rows = detail::rows_of_order(function, order);
  detail::check_offsets(function, order);
  detail::require_memory(function, "tokens", order.tokens);
  detail::require_memory(function, "slots", order.slots);
  detail::require_entries(function, "tokens", order.tokens, rows);
  detail::require_entries(function, "slots", order.slots, rows);
  detail::require_output(function, "experts", experts);
  detail::require_apart(function, {{"experts", detail::bytes_of(experts)}},
                        {{"offsets", detail::bytes_of(order.offsets)},
                         {"tokens", detail::bytes_of(order.tokens)},
                         {"slots", detail::bytes_of(order.slots)}});
  detail::check_places(function, order, rows, experts.rows(), experts.columns());
  for (std::size_t t = 0; t < experts.rows(); ++t)
    for (std::size_t j = 0; j < experts.columns(); ++j) experts(t, j) = no_expert;
  for (std::size_t e = 0; e < order.experts(); ++e)
    for (auto row = static_cast<std::size_t>(order.offsets[e]);
         row < static_cast<std::size_t>(order.offsets[e + 1]); ++row)
      if (order.tokens[row] >= 0)
        experts(static_cast<std::size_t>(order.tokens[row]), static_cast<std::size_t>(order.slots[row])) =
            static_cast<std::int32_t>(e);
}

DISTILL_INLINE void weights_in_order(matrix_view<const float> weights, const expert_order& order,
                                     vector_view<float> in_order) {
  detail::put_in_order(weights, order, in_order);
}
DISTILL_INLINE void weights_in_order(matrix_view<const double> weights, const expert_order& order,
                                     vector_view<double> in_order) {
  detail::put_in_order(weights, order, in_order);
}
DISTILL_INLINE void weights_from_order(vector_view<const float> in_order, const expert_order& order,
                                       matrix_view<float> weights) {
  detail::take_out_of_order(in_order, order, weights);
}
DISTILL_INLINE void weights_from_order(vector_view<const double> in_order, const expert_order& order,
                                       matrix_view<double> weights) {
  detail::take_out_of_order(in_order, order, weights);
}

}  // namespace distill::inline DISTILL_ABI
