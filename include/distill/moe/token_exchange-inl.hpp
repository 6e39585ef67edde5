// Definitions of token_exchange.hpp: checks, padding, the walk over the tokens. Compiled once in src/, or
// included by token_exchange.hpp in header-only mode.
#pragma once

#include <cstring>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/moe/expert_order_check-inl.hpp>
#include <distill/moe/token_exchange.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/token_exchange_rows.cpp, or the end of this file in header-only
// mode.
DISTILL_INLINE void exchange_tokens(const exchange_job& job, std::size_t begin, std::size_t end);

// ---- checks

// Rows at least as many as the order has, or exactly as many as there are tokens; and memory for them.
struct exchange_checks {
  const char* function;
  const expert_order& order;
  std::size_t rows, tokens;

  exchange_checks(const char* name, const expert_order& o)
      : function(name), order(o), rows(rows_of_order(name, o)), tokens(o.rows.rows()) {
    check_rows_of_order(name, o, "rows", o.rows.rows(), o.rows.columns());
  }

  template <class Void>
  void memory(const char* what, const untyped_matrix<Void>& m, std::size_t element_bytes) const {
    if (m.rows == 0 || m.columns == 0) return;
    if (m.data == nullptr) throw layout_error(std::string(function) + ": " + what + " has no memory");
    if (reinterpret_cast<std::uintptr_t>(m.data) % element_bytes != 0)
      throw layout_error(std::string(function) + ": " + what + " is not aligned to its " +
                         std::to_string(element_bytes) + "-byte elements");
    if constexpr (!std::is_const_v<Void>) require_distinct_elements(function, what, m);
  }
  template <class Void>
  void token_rows(const char* what, const untyped_matrix<Void>& m) const {
    require_extent(function, what, m.rows, "tokens", "order.rows", tokens);
    memory(what, m, size_of(m.type));
  }
  template <class Void>
  void expert_rows(const char* what, const untyped_matrix<Void>& m) const {
    if (m.rows < rows)
      throw shape_error(std::string(function) + ": " + what + " has " + std::to_string(m.rows) +
                        " rows, the order has " + std::to_string(rows));
    memory(what, m, size_of(m.type));
  }
  template <class Void>
  void assignments(const char* what, const untyped_matrix<Void>& m) const {
    require_extent(function, what, m.rows, "tokens", "order.rows", tokens);
    require_extent(function, what, m.columns, "slots", "order.rows", order.rows.columns());
    if (m.type != element_type::float32 && m.type != element_type::float64)
      throw layout_error(std::string(function) + ": " + what + " is " + name_of(m.type) +
                         ", must be float32 or float64");
    memory(what, m, size_of(m.type));
  }
  void width(const char* what, std::size_t got, const char* reference, std::size_t expected) const {
    require_extent(function, what, got, "columns", reference, expected);
  }
  // The tokens' elements are the rows', or float beside 16 bits.
  void types(const char* what, element_type token_type, const char* rows_name, element_type row_type) const {
    if (token_type == row_type || (size_of(row_type) == 2 && token_type == element_type::float32)) return;
    throw layout_error(std::string(function) + ": " + what + " is " + name_of(token_type) + ", " + rows_name +
                       " is " + name_of(row_type) + "; it must be the same" +
                       (size_of(row_type) == 2 ? ", or float32" : ""));
  }
  // Side by side in one buffer is apart.
  void apart(const char* what, const output_matrix& out, const char* other, const input_matrix& in,
             std::size_t element_bytes) const {
    if (!intersect(bytes_of(out, element_bytes), bytes_of(in, size_of(in.type)))) return;
    if (side_by_side(in, out)) return;
    throw layout_error(std::string(function) + ": " + what + " overlaps " + other);
  }
  void apart_from_order(const char* what, byte_range out) const {
    require_apart(function, {{what, out}},
                  {{"order.offsets", bytes_of(order.offsets)},
                   {"order.tokens", bytes_of(order.tokens)},
                   {"order.rows", bytes_of(order.rows)}});
  }
};

// ---- the walk

// Rows that only pad become 0.
inline void zero_padding(const expert_order& order, std::size_t rows, const output_matrix& to,
                         std::size_t element_bytes) {
  if (order.tokens.empty()) return;
  const auto bytes = static_cast<std::ptrdiff_t>(element_bytes);
  for (std::size_t row = 0; row < rows; ++row) {
    if (order.tokens[row] >= 0) continue;
    char* const p = static_cast<char*>(to.data) + static_cast<std::ptrdiff_t>(row) * to.row_stride * bytes;
    if (to.column_stride == 1 || to.columns == 1) {
      std::memset(p, 0, to.columns * element_bytes);
    } else {
      for (std::size_t c = 0; c < to.columns; ++c)
        std::memset(p + static_cast<std::ptrdiff_t>(c) * to.column_stride * bytes, 0, element_bytes);
    }
  }
}

// Blocks of at least 64 KiB of expert rows.
inline void run_exchange(const exchange_job& job, const executor_ref& executor, std::size_t element_bytes) {
  if (job.rows.rows() == 0 || job.width() == 0) return;
  constexpr std::size_t bytes_per_block = std::size_t{64} << 10;
  const std::size_t bytes_per_token = (job.rows.columns() + 1) * job.width() * element_bytes;
  executor.for_each_block(job.rows.rows(), bytes_per_block / bytes_per_token + 1,
                          [&](std::size_t begin, std::size_t end) { exchange_tokens(job, begin, end); });
}

DISTILL_INLINE void dispatch_tokens(const input_matrix& tokens, const expert_order& order,
                                    const output_matrix& expert_rows, std::size_t element_bytes,
                                    const exchange_options& options) {
  const exchange_checks checks("dispatch_tokens", order);
  if (options.accumulate)
    throw parameter_error("dispatch_tokens: accumulate must be false, each row is one token's");
  require_extent(checks.function, "tokens", tokens.rows, "tokens", "order.rows", checks.tokens);
  checks.width("expert_rows", expert_rows.columns, "tokens", tokens.columns);
  if (expert_rows.rows < checks.rows)
    throw shape_error("dispatch_tokens: expert_rows has " + std::to_string(expert_rows.rows) +
                      " rows, the order has " + std::to_string(checks.rows));
  checks.memory("tokens", tokens, element_bytes);
  checks.memory("expert_rows", expert_rows, element_bytes);
  require_apart(checks.function, {{"expert_rows", bytes_of(expert_rows, element_bytes)}},
                {{"tokens", bytes_of(tokens, element_bytes)}});
  checks.apart_from_order("expert_rows", bytes_of(expert_rows, element_bytes));
  exchange_job job;
  job.kind = exchange_kind::dispatch;
  job.rows = order.rows;
  job.from = tokens;
  job.to = expert_rows;
  job.element_bytes = element_bytes;
  job.bypass_cache = (checks.rows + tokens.rows) * tokens.columns * element_bytes > cache_worth_keeping;
  zero_padding(order, checks.rows, expert_rows, element_bytes);
  run_exchange(job, options.executor, element_bytes);
}

DISTILL_INLINE void combine_tokens(const char* function, const input_matrix& expert_rows,
                                   const input_matrix& weights, const expert_order& order,
                                   const output_matrix& tokens, const exchange_options& options) {
  const exchange_checks checks(function, order);
  const bool is_gradient = std::string_view(function) == "dispatch_tokens_backward";
  const char* const in = is_gradient ? "row_gradient" : "expert_rows";
  const char* const out = is_gradient ? "token_gradient" : "tokens";
  checks.expert_rows(in, expert_rows);
  checks.token_rows(out, tokens);
  checks.width(out, tokens.columns, in, expert_rows.columns);
  checks.types(out, tokens.type, in, expert_rows.type);
  if (!is_gradient) checks.assignments("weights", weights);
  checks.apart(out, tokens, in, expert_rows, size_of(tokens.type));
  if (!is_gradient) checks.apart(out, tokens, "weights", weights, size_of(tokens.type));
  checks.apart_from_order(out, bytes_of(tokens, size_of(tokens.type)));
  exchange_job job;
  job.kind = exchange_kind::combine;
  job.rows = order.rows;
  job.weights = weights;
  job.from = expert_rows;
  job.to = tokens;
  job.accumulate = options.accumulate;
  job.bypass_cache = tokens.rows * tokens.columns * size_of(tokens.type) > cache_worth_keeping;
  run_exchange(job, options.executor, size_of(expert_rows.type));
}

inline void check_backward_outputs(const exchange_checks& checks, const input_matrix& token_gradient,
                                   const input_matrix& expert_rows, const input_matrix& weights,
                                   const output_matrix& row_gradient, const output_matrix& weight_gradient) {
  const std::size_t row_bytes = size_of(row_gradient.type), weight_bytes = size_of(weight_gradient.type);
  if (row_gradient.data != nullptr || row_gradient.rows > 0) {
    checks.expert_rows("row_gradient", row_gradient);
    checks.width("row_gradient", row_gradient.columns, "expert_rows", expert_rows.columns);
    if (row_gradient.type != expert_rows.type)
      throw layout_error(std::string(checks.function) + ": row_gradient is " + name_of(row_gradient.type) +
                         ", expert_rows is " + name_of(expert_rows.type) + "; it must be the same");
    checks.apart("row_gradient", row_gradient, "token_gradient", token_gradient, row_bytes);
    checks.apart("row_gradient", row_gradient, "weights", weights, row_bytes);
    if (!same_elements(expert_rows, row_gradient))
      checks.apart("row_gradient", row_gradient, "expert_rows", expert_rows, row_bytes);
    checks.apart_from_order("row_gradient", bytes_of(row_gradient, row_bytes));
  }
  if (weight_gradient.data != nullptr || weight_gradient.rows > 0) {
    checks.assignments("weight_gradient", weight_gradient);
    checks.apart("weight_gradient", weight_gradient, "token_gradient", token_gradient, weight_bytes);
    checks.apart("weight_gradient", weight_gradient, "weights", weights, weight_bytes);
    checks.apart("weight_gradient", weight_gradient, "expert_rows", expert_rows, weight_bytes);
    checks.apart_from_order("weight_gradient", bytes_of(weight_gradient, weight_bytes));
    require_apart(checks.function, {{"weight_gradient", bytes_of(weight_gradient, weight_bytes)}},
                  {{"row_gradient", bytes_of(row_gradient, row_bytes)}});
  }
}

DISTILL_INLINE void combine_tokens_backward(const input_matrix& token_gradient,
                                            const input_matrix& expert_rows, const input_matrix& weights,
                                            const expert_order& order, const output_matrix& row_gradient,
                                            const output_matrix& weight_gradient,
                                            const exchange_options& options) {
  const exchange_checks checks("combine_tokens_backward", order);
  if (options.accumulate)
    throw parameter_error("combine_tokens_backward: accumulate must be false, each row has one gradient");
  checks.token_rows("token_gradient", token_gradient);
  checks.expert_rows("expert_rows", expert_rows);
  checks.width("token_gradient", token_gradient.columns, "expert_rows", expert_rows.columns);
  checks.types("token_gradient", token_gradient.type, "expert_rows", expert_rows.type);
  checks.assignments("weights", weights);
  check_backward_outputs(checks, token_gradient, expert_rows, weights, row_gradient, weight_gradient);
  exchange_job job;
  job.kind = exchange_kind::combine_backward;
  job.rows = order.rows;
  job.weights = weights;
  job.from = expert_rows;
  job.upstream = token_gradient;
  job.to = row_gradient;
  job.weight_gradient = weight_gradient;
  const std::size_t bytes = size_of(expert_rows.type);
  job.bypass_cache =
      row_gradient.data != nullptr && checks.rows * expert_rows.columns * bytes > cache_worth_keeping;
  if (row_gradient.data != nullptr) zero_padding(order, checks.rows, row_gradient, bytes);
  run_exchange(job, options.executor, bytes);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/token_exchange-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void exchange_tokens(const exchange_job& job, std::size_t begin, std::size_t end) {
  simd::HWY_NAMESPACE::ExchangeTokens(job, begin, end);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
