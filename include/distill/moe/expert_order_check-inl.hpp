// What functions on an order check of it before they use its indices.
#pragma once

#include <distill/moe/assignment_check-inl.hpp>
#include <distill/moe/expert_order.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The rows an order has; its offsets are checked as far as this number goes.
inline std::size_t rows_of_order(const char* function, const expert_order& order) {
  if (order.offsets.size() < 2)
    throw shape_error(std::string(function) + ": offsets has " + std::to_string(order.offsets.size()) +
                      " entries, needs experts + 1");
  require_memory(function, "offsets", order.offsets);
  const std::int64_t rows = order.offsets[order.experts()];
  if (rows < 0)
    throw data_error(std::string(function) + ": offsets[" + std::to_string(order.experts()) + "] is " +
                     std::to_string(rows) + ", must not be negative");
  return static_cast<std::size_t>(rows);
}

// order.rows has a place for every assignment, inside the order's rows.
inline void check_rows_of_order(const char* function, const expert_order& order, const char* reference,
                                std::size_t tokens, std::size_t slots) {
  const std::size_t rows = rows_of_order(function, order);
  require_assignments(function, "rows", order.rows, reference, tokens, slots);
  require_memory(function, "tokens", order.tokens);
  if (!order.tokens.empty()) require_entries(function, "tokens", order.tokens, rows);
  require_indices<std::int64_t>(function, "rows", order.rows, rows);
}

}  // namespace distill::inline DISTILL_ABI::detail
