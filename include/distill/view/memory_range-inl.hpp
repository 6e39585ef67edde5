// Which bytes a view covers, and whether what is written shares any with what is read.
#pragma once

#include <array>
#include <cstdint>
#include <distill/error/error.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <distill/view/vector_view.hpp>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace distill::inline DISTILL_ABI::detail {

struct byte_range {
  std::uintptr_t begin = 0, end = 0;
};

// Items of `item_bytes` bytes; empty where there are none.
template <std::size_t rank>
byte_range bytes_of(const void* data, std::size_t item_bytes, const std::array<std::size_t, rank>& extents,
                    const std::array<std::ptrdiff_t, rank>& byte_strides) {
  std::ptrdiff_t low = 0, high = static_cast<std::ptrdiff_t>(item_bytes);
  for (std::size_t i = 0; i < rank; ++i) {
    if (extents[i] == 0 || data == nullptr) return {};
    const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(extents[i]) - 1) * byte_strides[i];
    (span < 0 ? low : high) += span;
  }
  const auto origin = reinterpret_cast<std::uintptr_t>(data);
  return {origin + static_cast<std::uintptr_t>(low), origin + static_cast<std::uintptr_t>(high)};
}

// A matrix of elements of another size than its type says.
template <class Void>
byte_range bytes_of(const untyped_matrix<Void>& m, std::size_t element_bytes) {
  const auto bytes = static_cast<std::ptrdiff_t>(element_bytes);
  return bytes_of<2>(m.data, element_bytes, {m.rows, m.columns},
                     {m.row_stride * bytes, m.column_stride * bytes});
}
template <class Void>
byte_range bytes_of(const untyped_matrix<Void>& m) {
  return bytes_of(m, size_of(m.type));
}
template <class T>
byte_range bytes_of(const matrix_view<T>& m) {
  constexpr auto bytes = static_cast<std::ptrdiff_t>(sizeof(T));
  return bytes_of<2>(m.data_handle(), sizeof(T), {m.rows(), m.columns()},
                     {m.stride(0) * bytes, m.stride(1) * bytes});
}
template <class T>
byte_range bytes_of(const vector_view<T>& v) {
  return bytes_of<1>(v.data_handle(), sizeof(T), {v.size()},
                     {v.stride() * static_cast<std::ptrdiff_t>(sizeof(T))});
}
template <class T>
byte_range bytes_of(std::span<T> memory) {
  return bytes_of<1>(memory.data(), sizeof(T), {memory.size()}, {static_cast<std::ptrdiff_t>(sizeof(T))});
}

inline bool intersect(byte_range a, byte_range b) { return a.begin < b.end && b.begin < a.end; }

struct named_range {
  std::string_view name;
  byte_range bytes;
};

// Outputs overlap neither each other nor an input.
inline void require_apart(std::string_view function, std::initializer_list<named_range> outputs,
                          std::initializer_list<named_range> inputs) {
  for (const named_range* out = outputs.begin(); out != outputs.end(); ++out) {
    const auto check = [&](const named_range& other) {
      if (intersect(out->bytes, other.bytes))
        throw layout_error(std::string(function) + ": " + std::string(out->name) + " overlaps " +
                           std::string(other.name));
    };
    for (const named_range& in : inputs) check(in);
    for (const named_range* other = outputs.begin(); other != out; ++other) check(*other);
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
