// What functions on assignments check of the memory and indices they are given, before anything is written.
#pragma once

#include <cstdint>
#include <distill/error/error.hpp>
#include <distill/view/matrix_view.hpp>
#include <distill/view/require_memory-inl.hpp>
#include <distill/view/vector_view.hpp>
#include <initializer_list>

namespace distill::inline DISTILL_ABI::detail {

/// A named stretch of memory. Empty: not given.
struct named_memory {
  const char* name;
  byte_range range;
};

template <class T>
byte_range range_of(const matrix_view<T>& m) {
  if (m.rows() == 0 || m.columns() == 0) return {};
  std::ptrdiff_t low = 0, high = 0;
  for (int d = 0; d < 2; ++d) {
    const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(m.extent(d)) - 1) * m.stride(d);
    (span < 0 ? low : high) += span;
  }
  constexpr auto bytes = static_cast<std::ptrdiff_t>(sizeof(T));
  const auto origin = reinterpret_cast<std::uintptr_t>(m.data_handle());
  return {origin + static_cast<std::uintptr_t>(low * bytes),
          origin + static_cast<std::uintptr_t>((high + 1) * bytes)};
}
template <class T>
byte_range range_of(const vector_view<T>& v) {
  if (v.size() == 0) return {};
  const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(v.size()) - 1) * v.stride();
  constexpr auto bytes = static_cast<std::ptrdiff_t>(sizeof(T));
  const auto origin = reinterpret_cast<std::uintptr_t>(v.data_handle());
  return {origin + static_cast<std::uintptr_t>((span < 0 ? span : 0) * bytes),
          origin + static_cast<std::uintptr_t>(((span > 0 ? span : 0) + 1) * bytes)};
}

// Outputs overlap neither each other nor an input.
inline void require_apart(const char* function, std::initializer_list<named_memory> outputs,
                          std::initializer_list<named_memory> inputs) {
  for (const named_memory* out = outputs.begin(); out != outputs.end(); ++out) {
    if (out->range.begin == out->range.end) continue;
    const auto check = [&](const named_memory& other) {
      if (intersect(out->range, other.range))
        throw layout_error(std::string(function) + ": " + out->name + " overlaps " + other.name);
    };
    for (const named_memory& in : inputs) check(in);
    for (const named_memory* other = outputs.begin(); other != out; ++other) check(*other);
  }
}

template <class T>
void require_memory_of(const char* function, const char* what, const matrix_view<T>& m) {
  if (m.rows() > 0 && m.columns() > 0 && m.data_handle() == nullptr)
    throw layout_error(std::string(function) + ": " + what + " has no memory");
}
template <class T>
void require_memory_of(const char* function, const char* what, const vector_view<T>& v) {
  if (!v.empty() && v.data_handle() == nullptr)
    throw layout_error(std::string(function) + ": " + what + " has no memory");
}

template <class T>
void require_distinct_entries(const char* function, const char* what, const matrix_view<T>& m) {
  if ((m.rows() > 1 && m.stride(0) == 0) || (m.columns() > 1 && m.stride(1) == 0))
    throw layout_error(std::string(function) + ": " + what +
                       " has a stride of 0, so its elements are not distinct");
}
template <class T>
void require_distinct_entries(const char* function, const char* what, const vector_view<T>& v) {
  if (v.size() > 1 && v.stride() == 0)
    throw layout_error(std::string(function) + ": " + what +
                       " has a stride of 0, so its elements are not distinct");
}

// Memory that is there, each element once.
template <class View>
void require_output(const char* function, const char* what, const View& view) {
  require_memory_of(function, what, view);
  require_distinct_entries(function, what, view);
}

template <class T>
void require_assignments(const char* function, const char* what, const matrix_view<T>& m,
                         const char* reference, std::size_t tokens, std::size_t experts_per_token) {
  require_extent(function, what, m.rows(), "tokens", reference, tokens);
  require_extent(function, what, m.columns(), "slots", reference, experts_per_token);
  require_memory_of(function, what, m);
}

// At least `needed` entries.
template <class T>
void require_entries(const char* function, const char* what, const vector_view<T>& v, std::size_t needed) {
  if (v.size() < needed)
    throw shape_error(std::string(function) + ": " + what + " has " + std::to_string(v.size()) +
                      " entries, needs " + std::to_string(needed));
}

// "order_by_expert: experts[3, 1] is 64, must be in [0, 64) or -1"
[[noreturn]] inline void throw_index(const char* function, const char* what, std::size_t token,
                                     std::size_t slot, std::int64_t got, std::size_t limit) {
  throw data_error(std::string(function) + ": " + what + "[" + std::to_string(token) + ", " +
                   std::to_string(slot) + "] is " + std::to_string(got) + ", must be in [0, " +
                   std::to_string(limit) + ") or -1");
}

// Every entry is -1 or in [0, limit).
template <class Index>
void require_indices(const char* function, const char* what, const matrix_view<const Index>& m,
                     std::size_t limit) {
  for (std::size_t t = 0; t < m.rows(); ++t)
    for (std::size_t j = 0; j < m.columns(); ++j) {
      const std::int64_t index = m(t, j);
      if (index != -1 && (index < 0 || static_cast<std::size_t>(index) >= limit))
        throw_index(function, what, t, j, index, limit);
    }
}

}  // namespace distill::inline DISTILL_ABI::detail
