// What functions on assignments check of the memory and indices they are given, before anything is written.
#pragma once

#include <distill/view/require_memory-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

template <class T>
void require_assignments(const char* function, const char* what, const matrix_view<T>& m,
                         const char* reference, std::size_t tokens, std::size_t experts_per_token) {
  require_extent(function, what, m.rows(), "tokens", reference, tokens);
  require_extent(function, what, m.columns(), "slots", reference, experts_per_token);
  require_memory(function, what, m);
}

// At least `needed` entries.
template <class T>
void require_entries(const char* function, const char* what, const vector_view<T>& v, std::size_t needed) {
  if (v.size() < needed)
    throw shape_error(std::string(function) + ": " + what + " has " + std::to_string(v.size()) +
                      " entries, needs " + std::to_string(needed));
}

// The entries of one token are -1 or in [0, limit): "order_by_expert: experts[3, 1] is 64, must be in [0, 64)
// or -1".
template <class Index>
void require_indices_of(std::string_view function, std::string_view what, const matrix_view<const Index>& m,
                        std::size_t limit, std::size_t token) {
  for (std::size_t j = 0; j < m.columns(); ++j) {
    const std::int64_t index = m(token, j);
    if (index != -1 && (index < 0 || static_cast<std::size_t>(index) >= limit))
      throw data_error(std::string(function) + ": " + std::string(what) + "[" + std::to_string(token) + ", " +
                       std::to_string(j) + "] is " + std::to_string(index) + ", must be in [0, " +
                       std::to_string(limit) + ") or -1");
  }
}
template <class Index>
void require_indices(std::string_view function, std::string_view what, const matrix_view<const Index>& m,
                     std::size_t limit) {
  for (std::size_t t = 0; t < m.rows(); ++t) require_indices_of(function, what, m, limit, t);
}

}  // namespace distill::inline DISTILL_ABI::detail
