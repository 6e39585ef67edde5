// What the functions of a router's scores have in common: checks of counts and memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/moe/assignment_check-inl.hpp>
#include <distill/moe/balance_options.hpp>
#include <distill/view/element_access-inl.hpp>
#include <string>

namespace distill::inline DISTILL_ABI::detail {

template <class T>
void require_vector(std::string_view name, std::string_view what, const vector_view<T>& v,
                    std::string_view unit, std::string_view reference, std::size_t expected) {
  if (v.size() != expected)
    throw shape_error(std::string(name) + ": " + std::string(what) + " has " + std::to_string(v.size()) +
                      " " + std::string(unit) + ", " + std::string(reference) + " has " +
                      std::to_string(expected));
  require_memory(name, what, v);
}

template <class T>
void require_written_vector(std::string_view name, std::string_view what, const vector_view<T>& v,
                            std::string_view unit, std::string_view reference, std::size_t expected) {
  require_vector(name, what, v, unit, reference, expected);
  require_distinct_elements(name, what, v);
}

// A matrix of integers or elements, read or written.
template <class T>
void require_matrix(std::string_view name, std::string_view what, const matrix_view<T>& m,
                    std::string_view row_unit, std::size_t rows, std::string_view column_unit,
                    std::size_t columns, std::string_view reference) {
  require_extent(name, what, m.rows(), row_unit, reference, rows);
  require_extent(name, what, m.columns(), column_unit, reference, columns);
  require_memory(name, what, m);
  if constexpr (!std::is_const_v<T>) require_distinct_elements(name, what, m);
}

// Router logits or scores: at least one expert, any number of tokens.
inline void require_scores(std::string_view name, std::string_view what, const input_matrix& m) {
  if (m.columns == 0) throw shape_error(std::string(name) + ": " + std::string(what) + " has 0 experts");
  require_memory(name, what, m);
}

// Another matrix of the same tokens and experts, written.
inline void require_gradient(std::string_view name, std::string_view what, const output_matrix& gradient,
                             std::string_view of, const input_matrix& source) {
  require_extent(name, what, gradient.rows, "tokens", of, source.rows);
  require_extent(name, what, gradient.columns, "experts", of, source.columns);
  require_memory(name, what, gradient);
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

}  // namespace distill::inline DISTILL_ABI::detail
