// Definitions of expert_order.hpp: checks and the counting sort. Compiled once in src/, or included by
// expert_order.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <distill/moe/assignment_check-inl.hpp>
#include <distill/moe/expert_order.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void check_order_options(const char* function, const expert_order_options& options) {
  if (options.block_size == 0)
    throw parameter_error(std::string(function) + ": block_size must be > 0, got 0");
  if (options.rows_per_expert % options.block_size != 0)
    throw parameter_error(std::string(function) + ": rows_per_expert must be a multiple of block_size " +
                          std::to_string(options.block_size) + ", got " +
                          std::to_string(options.rows_per_expert));
}

constexpr std::size_t rounded_up(std::size_t count, std::size_t block) {
  return (count + block - 1) / block * block;
}

inline void check_order(const char* function, const matrix_view<const std::int32_t>& experts,
                        const expert_order& order) {
  constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();
  if (order.offsets.size() < 2)
    throw shape_error(std::string(function) + ": offsets has " + std::to_string(order.offsets.size()) +
                      " entries, needs experts + 1");
  for (const auto& [count, what] :
       {std::pair{experts.rows(), "tokens"}, std::pair{order.experts(), "experts"}})
    if (count > most)
      throw shape_error(std::string(function) + ": " + std::to_string(count) + " " + what + ", at most " +
                        std::to_string(most) + " can be numbered");
  require_memory(function, "experts", experts);
  require_output(function, "offsets", order.offsets);
  require_output(function, "tokens", order.tokens);
  require_output(function, "slots", order.slots);
  require_output(function, "rows", order.rows);
  if (order.rows.rows() > 0 || order.rows.columns() > 0)
    require_assignments(function, "rows", order.rows, "experts", experts.rows(), experts.columns());
  require_apart(function,
                {{"offsets", bytes_of(order.offsets)},
                 {"tokens", bytes_of(order.tokens)},
                 {"slots", bytes_of(order.slots)},
                 {"rows", bytes_of(order.rows)}},
                {{"experts", bytes_of(experts)}});
}

/// The tokens cut into chunks, each with a count for every expert and one for no_expert, which comes first.
struct expert_counts {
  std::size_t chunks, tokens_per_chunk, pitch;
  std::int64_t* counts;

  std::int64_t* of(std::size_t chunk) const { return counts + chunk * pitch; }
};

// How many tokens of [begin, end) chose each expert; stops at an id out of range and returns false.
inline bool count_experts(const matrix_view<const std::int32_t>& experts, std::size_t begin, std::size_t end,
                          std::size_t expert_count, std::int64_t* counts) {
  const auto limit = static_cast<std::uint32_t>(expert_count);
  const std::size_t slots = experts.columns();
  const std::ptrdiff_t row_stride = experts.stride(0), stride = experts.stride(1);
  const std::int32_t* row = experts.data_handle() + static_cast<std::ptrdiff_t>(begin) * row_stride;
  for (std::size_t t = begin; t < end; ++t, row += row_stride) {
    const std::int32_t* id = row;
    for (std::size_t j = 0; j < slots; ++j, id += stride) {
      const std::uint32_t bucket = static_cast<std::uint32_t>(*id) + 1u;  // no_expert: 0
      if (bucket > limit) return false;
      ++counts[bucket];
    }
  }
  return true;
}

// Writes the rows of the tokens [begin, end); `next` has the next free row of each expert, as counted above.
template <bool kSlots, bool kRows>
void place_assignments(const matrix_view<const std::int32_t>& experts, std::size_t begin, std::size_t end,
                       const expert_order& order, std::int64_t* next) {
  const std::size_t slots = experts.columns();
  const std::ptrdiff_t row_stride = experts.stride(0), stride = experts.stride(1);
  const std::int32_t* row = experts.data_handle() + static_cast<std::ptrdiff_t>(begin) * row_stride;
  std::int32_t *const row_tokens = order.tokens.data_handle(), *const row_slots = order.slots.data_handle();
  const std::ptrdiff_t token_stride = order.tokens.stride(), slot_stride = order.slots.stride();
  for (std::size_t t = begin; t < end; ++t, row += row_stride) {
    std::int64_t* const assigned = kRows ? &order.rows(t, 0) : nullptr;
    const std::ptrdiff_t assigned_stride = order.rows.stride(1);
    for (std::size_t j = 0; j < slots; ++j) {
      const std::int32_t expert = row[static_cast<std::ptrdiff_t>(j) * stride];
      std::int64_t place = -1;
      if (expert >= 0) {
        place = next[static_cast<std::uint32_t>(expert) + 1u]++;
        row_tokens[place * token_stride] = static_cast<std::int32_t>(t);
        if constexpr (kSlots) row_slots[place * slot_stride] = static_cast<std::int32_t>(j);
      }
      if constexpr (kRows) assigned[static_cast<std::ptrdiff_t>(j) * assigned_stride] = place;
    }
  }
}

// Only order.rows is wanted.
inline void place_rows(const matrix_view<const std::int32_t>& experts, std::size_t begin, std::size_t end,
                       const expert_order& order, std::int64_t* next) {
  for (std::size_t t = begin; t < end; ++t)
    for (std::size_t j = 0; j < experts.columns(); ++j) {
      const std::int32_t expert = experts(t, j);
      order.rows(t, j) = expert < 0 ? -1 : next[static_cast<std::uint32_t>(expert) + 1u]++;
    }
}

inline void place(const matrix_view<const std::int32_t>& experts, std::size_t begin, std::size_t end,
                  const expert_order& order, std::int64_t* next) {
  const bool has_rows = order.rows.rows() > 0 && order.rows.columns() > 0;
  if (experts.columns() == 0) return;
  if (order.tokens.empty() && order.slots.empty()) {
    if (has_rows) place_rows(experts, begin, end, order, next);
    return;
  }
  expert_order wanted = order;
  if (order.tokens.empty()) wanted.tokens = order.slots;  // written first, and then overwritten by the slots
  if (order.slots.empty())
    has_rows ? place_assignments<false, true>(experts, begin, end, wanted, next)
             : place_assignments<false, false>(experts, begin, end, wanted, next);
  else
    has_rows ? place_assignments<true, true>(experts, begin, end, wanted, next)
             : place_assignments<true, false>(experts, begin, end, wanted, next);
}

// The first id out of range, after count_experts found that there is one.
[[noreturn]] inline void throw_first_bad_expert(const char* function,
                                                const matrix_view<const std::int32_t>& experts,
                                                std::size_t expert_count) {
  require_indices(function, "experts", experts, expert_count);
  throw data_error(std::string(function) + ": experts changed during the call");
}

// Counts every chunk. Few tokens to a thread are not worth a chunk of their own.
inline expert_counts count_chunks(const char* function, const matrix_view<const std::int32_t>& experts,
                                  std::size_t expert_count, const executor_ref& executor, workspace& memory) {
  constexpr std::size_t assignments_per_chunk = 8192;
  const std::size_t tokens = experts.rows(), assignments = tokens * experts.columns();
  const std::size_t workers = std::clamp<std::size_t>(executor.concurrency(), 1, 64);
  expert_counts result;
  result.chunks = std::clamp<std::size_t>(assignments / assignments_per_chunk, 1, workers);
  result.tokens_per_chunk = (tokens + result.chunks - 1) / result.chunks;
  result.pitch = rounded_up(expert_count + 1, workspace::alignment / sizeof(std::int64_t));
  const std::size_t entries = result.chunks * result.pitch;
  result.counts = reinterpret_cast<std::int64_t*>(memory.require(entries * sizeof(std::int64_t)));
  std::fill_n(result.counts, entries, 0);
  const auto count = [&](std::size_t begin, std::size_t end) {
    for (std::size_t chunk = begin; chunk < end; ++chunk) {
      const std::size_t from = std::min(tokens, chunk * result.tokens_per_chunk);
      const std::size_t to = std::min(tokens, from + result.tokens_per_chunk);
      if (!count_experts(experts, from, to, expert_count, result.of(chunk))) result.of(chunk)[0] = -1;
    }
  };
  executor.for_each_block(result.chunks, 1, count);
  for (std::size_t chunk = 0; chunk < result.chunks; ++chunk)
    if (result.of(chunk)[0] < 0) throw_first_bad_expert(function, experts, expert_count);
  return result;
}

// Rows of an expert that `count` tokens chose.
inline std::int64_t rows_for(std::int64_t count, const expert_order_options& options) {
  if (options.rows_per_expert > 0) return static_cast<std::int64_t>(options.rows_per_expert);
  return static_cast<std::int64_t>(rounded_up(static_cast<std::size_t>(count), options.block_size));
}

inline std::int64_t count_of_expert(const expert_counts& counts, std::size_t expert) {
  std::int64_t sum = 0;
  for (std::size_t chunk = 0; chunk < counts.chunks; ++chunk) sum += counts.of(chunk)[expert + 1];
  return sum;
}

inline std::size_t check_counts(const char* function, const expert_counts& counts, const expert_order& order,
                                const expert_order_options& options) {
  std::int64_t rows = 0;
  for (std::size_t e = 0; e < order.experts(); ++e) {
    const std::int64_t count = count_of_expert(counts, e), padded = rows_for(count, options);
    if (count > padded)
      throw data_error(std::string(function) + ": expert " + std::to_string(e) + " has " +
                       std::to_string(count) + " assignments, rows_per_expert is " + std::to_string(padded));
    rows += padded;
  }
  const auto needed = static_cast<std::size_t>(rows);
  if (!order.tokens.empty()) require_entries(function, "tokens", order.tokens, needed);
  if (!order.slots.empty()) require_entries(function, "slots", order.slots, needed);
  return needed;
}

// Offsets and padding; the counts become the first row of each expert in each chunk.
inline void write_offsets(const expert_counts& counts, const expert_order& order,
                          const expert_order_options& options) {
  std::int64_t begin = 0;
  for (std::size_t e = 0; e < order.experts(); ++e) {
    order.offsets[e] = begin;
    std::int64_t next = begin;
    for (std::size_t chunk = 0; chunk < counts.chunks; ++chunk)
      next += std::exchange(counts.of(chunk)[e + 1], next);
    begin += rows_for(next - begin, options);
    for (auto row = static_cast<std::size_t>(next); row < static_cast<std::size_t>(begin); ++row) {
      if (!order.tokens.empty()) order.tokens[row] = -1;
      if (!order.slots.empty()) order.slots[row] = -1;
    }
  }
  order.offsets[order.experts()] = begin;
}

}  // namespace detail

DISTILL_INLINE std::size_t most_expert_rows(std::size_t tokens, std::size_t experts_per_token,
                                            std::size_t experts, const expert_order_options& options) {
  detail::check_order_options("most_expert_rows", options);
  if (options.rows_per_expert > 0) return experts * options.rows_per_expert;
  const std::size_t assignments = tokens * experts_per_token;
  const std::size_t most = assignments + std::min(experts, assignments) * (options.block_size - 1);
  return most / options.block_size * options.block_size;
}

DISTILL_INLINE std::size_t order_by_expert(matrix_view<const std::int32_t> experts, const expert_order& order,
                                           const expert_order_options& options) {
  constexpr const char* function = "order_by_expert";
  detail::check_order_options(function, options);
  detail::check_order(function, experts, order);
  workspace own;
  workspace& memory = options.workspace != nullptr ? *options.workspace : own;
  const detail::expert_counts counts =
      detail::count_chunks(function, experts, order.experts(), options.executor, memory);
  const std::size_t rows = detail::check_counts(function, counts, order, options);
  detail::write_offsets(counts, order, options);
  options.executor.for_each_block(counts.chunks, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t chunk = begin; chunk < end; ++chunk) {
      const std::size_t from = std::min(experts.rows(), chunk * counts.tokens_per_chunk);
      const std::size_t to = std::min(experts.rows(), from + counts.tokens_per_chunk);
      detail::place(experts, from, to, order, counts.of(chunk));
    }
  });
  return rows;
}

}  // namespace distill::inline DISTILL_ABI

#include <distill/moe/expert_order_values-inl.hpp>
