// Definitions of expert_choice_gate.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/execution/row_blocks-inl.hpp>
#include <distill/moe/column_selection-inl.hpp>
#include <distill/moe/expert_choice_gate.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void check_choice(const expert_choice_gate& gate, const input_matrix& logits,
                         matrix_view<const std::int32_t> chosen, const token_options& tokens) {
  const char* const name = "expert_choice_gate";
  require_scores(name, "logits", logits);
  if (logits.rows > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw shape_error(std::string(name) + ": logits has " + std::to_string(logits.rows) +
                      " tokens, at most 2147483647 have an id");
  const std::size_t each = gate.tokens_per_expert(logits.rows, logits.columns);
  require_extent(name, "tokens", chosen.rows(), "experts", "logits", logits.columns);
  require_extent(name, "tokens", chosen.columns(), "slots", "the capacity", each);
  require_mask(name, tokens, "logits", logits.rows);
}

// Masks and rows without a softmax as the selection knows them; returns how many there are of the latter.
template <class T>
std::int64_t mark_tokens(T* columns, std::size_t pitch, const input_matrix& logits,
                         const token_options& tokens) {
  std::int64_t bad = 0;
  for (std::size_t t = 0; t < logits.rows; ++t) {
    const bool counted = is_counted(tokens, t), has_softmax = !std::isnan(columns[t]);
    if (counted && has_softmax) continue;
    bad += counted ? 1 : 0;
    for (std::size_t e = 0; e < logits.columns; ++e)
      columns[e * pitch + t] = counted ? no_probability<T> : masked_probability<T>;
  }
  return bad;
}

template <class T>
std::int64_t choose_tokens(const input_matrix& logits, matrix_view<std::int32_t> chosen,
                           matrix_view<T> weights, const token_options& tokens, workspace& memory) {
  const std::size_t count = logits.rows, experts = logits.columns;
  // Columns that do not all begin in the same cache set.
  const std::size_t pitch = (count + 15) / 16 * 16 + 16;
  const std::size_t slots = std::min(std::clamp<std::size_t>(tokens.executor.concurrency(), 1, 64), experts);
  const std::size_t column_bytes = round_up_to_line(experts * pitch * sizeof(T));
  const std::size_t slot_bytes = round_up_to_line(count * selection_scratch<T>::bytes_per_token);
  std::byte* const base = memory.require(column_bytes + slots * slot_bytes);
  T* const columns = reinterpret_cast<T*>(base);
  evaluate_softmax(softmax_kind::softmax, logits, {},
                   matrix_view<T>(columns, count, experts, 1, static_cast<std::ptrdiff_t>(pitch)),
                   {.executor = tokens.executor});
  const std::int64_t bad = mark_tokens(columns, pitch, logits, tokens);
  std::size_t counted = 0;
  for (std::size_t t = 0; t < count; ++t) counted += is_counted(tokens, t) ? 1 : 0;
  const std::size_t rank = std::min(chosen.columns(), counted);
  slot_pool pool(slots);
  tokens.executor.for_each_block(experts, 1, [&](std::size_t begin, std::size_t end) {
    const slot_pool::lease lease(pool);
    std::byte* const own = base + column_bytes + static_cast<std::size_t>(lease.slot()) * slot_bytes;
    using key = typename selection_scratch<T>::key;
    const selection_scratch<T> scratch{reinterpret_cast<key*>(own),
                                       reinterpret_cast<std::uint32_t*>(own + count * sizeof(key))};
    for (std::size_t e = begin; e < end; ++e) {
      const T* const column = columns + e * pitch;
      select_largest(column, count, rank, scratch);
      for (std::size_t slot = 0; slot < chosen.columns(); ++slot) {
        const bool is_taken = slot < rank;
        chosen(e, slot) = is_taken ? static_cast<std::int32_t>(scratch.indices[slot]) : -1;
        weights(e, slot) = is_taken ? std::max(column[scratch.indices[slot]], T(0)) : T(0);
      }
    }
  });
  return bad;
}

// Ascending tokens, then -1.
inline void check_chosen(matrix_view<const std::int32_t> chosen, std::size_t tokens) {
  for (std::size_t e = 0; e < chosen.rows(); ++e) {
    std::int64_t last = -1;
    bool ended = false;
    for (std::size_t slot = 0; slot < chosen.columns(); ++slot) {
      const std::int64_t token = chosen(e, slot);
      ended = ended || token == -1;
      if (ended ? token == -1 : (token > last && static_cast<std::size_t>(token) < tokens)) {
        last = token;
        continue;
      }
      throw data_error("expert_choice_gate: tokens(" + std::to_string(e) + ", " + std::to_string(slot) +
                       ") is " + std::to_string(token) + ", must ascend in [0, " + std::to_string(tokens) +
                       "), -1 at the end");
    }
  }
}

template <class T>
void choice_gradient(const input_matrix& logits, matrix_view<const std::int32_t> chosen,
                     const input_matrix& weight_gradient, const output_matrix& gradient,
                     const token_options& tokens, workspace& memory) {
  const std::size_t count = logits.rows, experts = logits.columns;
  const std::size_t bytes = round_up_to_line(count * experts * sizeof(T));
  std::byte* const base = memory.require(2 * bytes);
  const matrix_view<T> p(reinterpret_cast<T*>(base), count, experts);
  const matrix_view<T> upstream(reinterpret_cast<T*>(base + bytes), count, experts);
  evaluate_softmax(softmax_kind::softmax, logits, {}, p, {.executor = tokens.executor});
  std::fill_n(upstream.data_handle(), count * experts, T(0));
  with_elements(weight_gradient, [&](const auto& g) {
    for (std::size_t e = 0; e < experts; ++e)
      for (std::size_t slot = 0; slot < chosen.columns() && chosen(e, slot) >= 0; ++slot)
        upstream(static_cast<std::size_t>(chosen(e, slot)), e) = static_cast<T>(as_double(g(e, slot)));
  });
  evaluate_softmax(softmax_kind::softmax_backward, p, upstream, upstream, {.executor = tokens.executor});
  const std::size_t grain = std::size_t{16384} / experts + 1;
  with_elements(gradient, [&](const auto& out) {
    tokens.executor.for_each_block(count, grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t) {
        const bool moves = is_counted(tokens, t) && !std::isnan(p(t, 0));
        if (!moves && tokens.accumulate) continue;
        for (std::size_t e = 0; e < experts; ++e) {
          const double value = moves ? static_cast<double>(upstream(t, e)) : 0;
          assign_double(out(t, e), tokens.accumulate ? as_double(out(t, e)) + value : value);
        }
      }
    });
  });
}

}  // namespace detail

DISTILL_INLINE std::size_t expert_choice_gate::tokens_per_expert(std::size_t tokens,
                                                                 std::size_t experts) const {
  const char* const name = "expert_choice_gate";
  if (experts == 0) throw shape_error(std::string(name) + ": 0 experts");
  if (capacity < 0 || (tokens > 0 && static_cast<std::uint64_t>(capacity) > tokens))
    throw parameter_error(std::string(name) + ": capacity must be in [0, " + std::to_string(tokens) +
                          "], got " + std::to_string(capacity));
  if (!(std::isfinite(capacity_factor) && capacity_factor > 0))
    detail::throw_parameter(name, "capacity_factor", "finite and > 0", detail::text_of(capacity_factor));
  if (tokens == 0) return 0;
  if (capacity > 0) return static_cast<std::size_t>(capacity);
  const double wanted =
      std::ceil(capacity_factor * static_cast<double>(tokens) / static_cast<double>(experts));
  return static_cast<std::size_t>(std::clamp(wanted, 1.0, static_cast<double>(tokens)));
}

DISTILL_INLINE std::int64_t expert_choice_gate::choose(const detail::input_matrix& logits,
                                                       matrix_view<std::int32_t> chosen,
                                                       const detail::output_matrix& weights,
                                                       const token_options& tokens, workspace* memory) const {
  const char* const name = "expert_choice_gate";
  detail::check_choice(*this, logits, chosen, tokens);
  detail::require_matrix(name, "tokens", chosen, "experts", logits.columns, "slots", chosen.columns(),
                         "logits");
  detail::require_extent(name, "weights", weights.rows, "experts", "logits", logits.columns);
  detail::require_extent(name, "weights", weights.columns, "slots", "tokens", chosen.columns());
  if (logits.rows == 0) return 0;
  detail::require_memory(name, "weights", weights);
  detail::require_distinct_elements(name, "weights", weights);
  const bool in_double = logits.type == element_type::float64;
  if (in_double != (weights.type == element_type::float64))
    throw layout_error(std::string(name) + ": weights is " + name_of(weights.type) + ", logits is " +
                       name_of(logits.type));
  if (detail::intersect(detail::bytes_of(logits), detail::bytes_of(weights)))
    throw layout_error(std::string(name) + ": weights overlaps logits");
  workspace own;
  workspace& scratch = memory != nullptr ? *memory : own;
  const auto typed = [&]<class T>(T* data) {
    const matrix_view<T> out(data, weights.rows, weights.columns, weights.row_stride, weights.column_stride);
    return detail::choose_tokens(logits, chosen, out, tokens, scratch);
  };
  return in_double ? typed(static_cast<double*>(weights.data)) : typed(static_cast<float*>(weights.data));
}

DISTILL_INLINE void expert_choice_gate::run_backward(const detail::input_matrix& logits,
                                                     matrix_view<const std::int32_t> chosen,
                                                     const detail::input_matrix& weight_gradient,
                                                     const detail::output_matrix& gradient,
                                                     const token_options& tokens, workspace* memory) const {
  const char* const name = "expert_choice_gate";
  detail::check_choice(*this, logits, chosen, tokens);
  detail::require_matrix(name, "tokens", chosen, "experts", logits.columns, "slots", chosen.columns(),
                         "logits");
  detail::require_extent(name, "weight_gradient", weight_gradient.rows, "experts", "logits", logits.columns);
  detail::require_extent(name, "weight_gradient", weight_gradient.columns, "slots", "tokens",
                         chosen.columns());
  detail::require_memory(name, "weight_gradient", weight_gradient);
  detail::require_gradient(name, "gradient", gradient, "logits", logits);
  if (logits.rows == 0) return;
  detail::require_no_overlap(name, "logits", logits, "gradient", gradient);
  if (detail::intersect(detail::bytes_of(weight_gradient), detail::bytes_of(gradient)))
    throw layout_error(std::string(name) + ": gradient overlaps weight_gradient");
  detail::check_chosen(chosen, logits.rows);
  workspace own;
  workspace& scratch = memory != nullptr ? *memory : own;
  if (logits.type == element_type::float64)
    detail::choice_gradient<double>(logits, chosen, weight_gradient, gradient, tokens, scratch);
  else
    detail::choice_gradient<float>(logits, chosen, weight_gradient, gradient, tokens, scratch);
}

}  // namespace distill::inline DISTILL_ABI
