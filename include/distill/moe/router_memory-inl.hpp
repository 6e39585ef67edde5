// What the functions of a router's scores have in common: checks of counts and memory, elements as double.
#pragma once

#include <cmath>
#include <cstdint>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/moe/balance_options.hpp>
#include <distill/view/require_memory-inl.hpp>
#include <distill/view/vector_view.hpp>
#include <string>
#include <type_traits>

namespace distill::inline DISTILL_ABI::detail {

// ---- elements

template <class T>
double as_double(T value) {
  if constexpr (sizeof(T) == 2)
    return static_cast<double>(static_cast<float>(value));
  else
    return static_cast<double>(value);
}
template <class T>
void assign_double(T& out, double value) {
  if constexpr (sizeof(T) == 2)
    out = T(static_cast<float>(value));
  else
    out = static_cast<T>(value);
}

// Calls f with the matrix_view that m is.
template <class Void, class F>
decltype(auto) with_elements(const untyped_matrix<Void>& m, F f) {
  const auto call = [&](auto* data) -> decltype(auto) {
    return f(matrix_view(data, m.rows, m.columns, m.row_stride, m.column_stride));
  };
  constexpr bool is_const = std::is_const_v<Void>;
  switch (m.type) {
    case element_type::float64:
      return call(static_cast<std::conditional_t<is_const, const double, double>*>(m.data));
    case element_type::bfloat16:
      return call(static_cast<std::conditional_t<is_const, const bfloat16, bfloat16>*>(m.data));
    case element_type::float16:
      return call(static_cast<std::conditional_t<is_const, const float16, float16>*>(m.data));
    default:
      return call(static_cast<std::conditional_t<is_const, const float, float>*>(m.data));
  }
}

// ---- checks

template <class T>
void require_vector(std::string_view name, std::string_view what, const vector_view<T>& v,
                    std::string_view unit, std::string_view reference, std::size_t expected) {
  if (v.size() != expected)
    throw shape_error(std::string(name) + ": " + std::string(what) + " has " + std::to_string(v.size()) +
                      " " + std::string(unit) + ", " + std::string(reference) + " has " +
                      std::to_string(expected));
  if (expected > 0 && v.data_handle() == nullptr)
    throw layout_error(std::string(name) + ": " + std::string(what) + " has no memory");
}

template <class T>
void require_written_vector(std::string_view name, std::string_view what, const vector_view<T>& v,
                            std::string_view unit, std::string_view reference, std::size_t expected) {
  require_vector(name, what, v, unit, reference, expected);
  if (expected > 1 && v.stride() == 0)
    throw layout_error(std::string(name) + ": " + std::string(what) +
                       " has a stride of 0, so its elements are not distinct");
}

// A matrix of integers or elements, read or written.
template <class T>
void require_matrix(std::string_view name, std::string_view what, const matrix_view<T>& m,
                    std::string_view row_unit, std::size_t rows, std::string_view column_unit,
                    std::size_t columns, std::string_view reference) {
  require_extent(name, what, m.rows(), row_unit, reference, rows);
  require_extent(name, what, m.columns(), column_unit, reference, columns);
  if (rows > 0 && columns > 0 && m.data_handle() == nullptr)
    throw layout_error(std::string(name) + ": " + std::string(what) + " has no memory");
  if constexpr (!std::is_const_v<T>)
    if ((rows > 1 && columns > 0 && m.stride(0) == 0) || (rows > 0 && columns > 1 && m.stride(1) == 0))
      throw layout_error(std::string(name) + ": " + std::string(what) +
                         " has a stride of 0, so its elements are not distinct");
}

template <class Void>
void require_elements(std::string_view name, std::string_view what, const untyped_matrix<Void>& m) {
  if (m.rows > 0 && m.columns > 0 && m.data == nullptr)
    throw layout_error(std::string(name) + ": " + std::string(what) + " has no memory");
  require_aligned(name, what, m);
}

// Router logits or scores: at least one expert, any number of tokens.
inline void require_scores(std::string_view name, std::string_view what, const input_matrix& m) {
  if (m.columns == 0) throw shape_error(std::string(name) + ": " + std::string(what) + " has 0 experts");
  require_elements(name, what, m);
}

// Another matrix of the same tokens and experts, written.
inline void require_gradient(std::string_view name, std::string_view what, const output_matrix& gradient,
                             std::string_view of, const input_matrix& source) {
  require_extent(name, what, gradient.rows, "tokens", of, source.rows);
  require_extent(name, what, gradient.columns, "experts", of, source.columns);
  require_elements(name, what, gradient);
  const bool widened = size_of(source.type) == 2 && gradient.type == element_type::float32;
  if (gradient.type != source.type && !widened)
    throw layout_error(std::string(name) + ": " + std::string(what) + " is " + name_of(gradient.type) + ", " +
                       std::string(of) + " is " + name_of(source.type) + "; it must be the same" +
                       (size_of(source.type) == 2 ? ", or float32" : ""));
  require_distinct_elements(name, what, gradient);
}

inline void require_mask(std::string_view name, const token_options& tokens, std::string_view reference,
                         std::size_t count) {
  if (!tokens.token_mask.empty())
    require_vector(name, "token_mask", tokens.token_mask, "entries", reference, count);
}
inline bool is_counted(const token_options& tokens, std::size_t token) {
  return tokens.token_mask.empty() || tokens.token_mask[token] != 0;
}

inline void require_finite(std::string_view name, std::string_view what, double value) {
  if (!std::isfinite(value)) throw_parameter(name, what, "finite", text_of(value));
}

inline void require_experts_per_token(std::string_view name, std::int64_t k, std::size_t most) {
  if (k < 1 || static_cast<std::uint64_t>(k) > most)
    throw parameter_error(std::string(name) + ": experts_per_token must be in [1, " + std::to_string(most) +
                          "], got " + std::to_string(k));
}

inline void require_denominator(std::string_view name, const balance_options& options) {
  if (options.denominator && !(std::isfinite(*options.denominator) && *options.denominator > 0))
    throw_parameter(name, "denominator", "finite and > 0", text_of(*options.denominator));
}

// Returns their sum.
inline std::int64_t require_counts(std::string_view name, std::string_view what,
                                   vector_view<const std::int64_t> counts) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 0)
      throw data_error(std::string(name) + ": " + std::string(what) + "[" + std::to_string(i) + "] is " +
                       std::to_string(counts[i]) + ", must be >= 0");
    sum += counts[i];
  }
  return sum;
}

inline void require_token_count(std::string_view name, std::string_view what, std::int64_t tokens) {
  if (tokens < 0)
    throw parameter_error(std::string(name) + ": " + std::string(what) + " must be >= 0, got " +
                          std::to_string(tokens));
}

// Expert ids in [0, experts), or -1: one token's, or all.
inline void require_expert_ids(std::string_view name, matrix_view<const std::int32_t> ids, std::size_t token,
                               std::size_t experts, std::size_t choices) {
  for (std::size_t slot = 0; slot < choices; ++slot) {
    const std::int32_t id = ids(token, slot);
    if (id == -1 || (id >= 0 && static_cast<std::size_t>(id) < experts)) continue;
    throw data_error(std::string(name) + ": experts(" + std::to_string(token) + ", " + std::to_string(slot) +
                     ") is " + std::to_string(id) + ", must be in [0, " + std::to_string(experts) +
                     ") or -1");
  }
}
inline void require_expert_ids(std::string_view name, matrix_view<const std::int32_t> ids,
                               std::size_t experts, std::size_t choices) {
  for (std::size_t token = 0; token < ids.rows(); ++token)
    require_expert_ids(name, ids, token, experts, choices);
}

template <class T>
void require_id_memory(std::string_view name, const matrix_view<T>& ids) {
  if (ids.rows() > 0 && ids.columns() > 0 && ids.data_handle() == nullptr)
    throw layout_error(std::string(name) + ": experts has no memory");
}

}  // namespace distill::inline DISTILL_ABI::detail
