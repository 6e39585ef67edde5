// What every function checks of the memory it is given, before anything is written.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <distill/view/untyped_matrix.hpp>
#include <string_view>
#include <utility>

namespace distill::inline DISTILL_ABI::detail {

// `forward_kl: teacher has 50257 classes, student has 50256`
inline void require_extent(std::string_view name, std::string_view what, std::size_t got,
                           std::string_view unit, std::string_view reference, std::size_t expected) {
  if (got == expected) return;
  throw shape_error(std::string(name) + ": " + std::string(what) + " has " + std::to_string(got) + " " +
                    std::string(unit) + ", " + std::string(reference) + " has " + std::to_string(expected) +
                    (unit == "entries" ? " rows" : ""));
}

template <class Void>
void require_aligned(std::string_view name, std::string_view what, const untyped_matrix<Void>& m) {
  if (reinterpret_cast<std::uintptr_t>(m.data) % size_of(m.type) != 0)
    throw layout_error(std::string(name) + ": " + std::string(what) + " is not aligned to its " +
                       std::to_string(size_of(m.type)) + "-byte elements");
}

inline void require_distinct_elements(std::string_view name, std::string_view what,
                                      const output_matrix& output) {
  if ((output.rows > 1 && output.row_stride == 0) || (output.columns > 1 && output.column_stride == 0))
    throw layout_error(std::string(name) + ": " + std::string(what) +
                       " has a stride of 0, so its elements are not distinct");
}

struct byte_range {
  std::uintptr_t begin = 0, end = 0;
};

template <class Void>
byte_range bytes_of(const untyped_matrix<Void>& m) {
  const auto bytes = static_cast<std::ptrdiff_t>(size_of(m.type));
  std::ptrdiff_t low = 0, high = 0;
  for (const auto& [extent, stride] :
       {std::pair{m.rows, m.row_stride}, std::pair{m.columns, m.column_stride}}) {
    const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(extent) - 1) * stride;
    (span < 0 ? low : high) += span;
  }
  const auto origin = reinterpret_cast<std::uintptr_t>(m.data);
  return {origin + static_cast<std::uintptr_t>(low * bytes),
          origin + static_cast<std::uintptr_t>((high + 1) * bytes)};
}

inline bool intersect(byte_range a, byte_range b) { return a.begin < b.end && b.begin < a.end; }

inline bool same_elements(const input_matrix& a, const output_matrix& b) {
  return a.data == b.data && a.type == b.type && (a.rows <= 1 || a.row_stride == b.row_stride) &&
         (a.columns <= 1 || a.column_stride == b.column_stride);
}

// Two windows of columns of one row-major buffer, side by side.
inline bool side_by_side(const input_matrix& a, const output_matrix& b) {
  if (a.type != b.type || a.column_stride != 1 || b.column_stride != 1 || a.row_stride != b.row_stride)
    return false;
  const auto bytes = static_cast<std::ptrdiff_t>(size_of(a.type));
  const std::ptrdiff_t pitch = std::abs(a.row_stride) * bytes;
  if (pitch == 0) return false;
  std::ptrdiff_t offset = (static_cast<const char*>(b.data) - static_cast<const char*>(a.data)) % pitch;
  if (offset < 0) offset += pitch;
  return offset >= static_cast<std::ptrdiff_t>(a.columns) * bytes &&
         offset + static_cast<std::ptrdiff_t>(b.columns) * bytes <= pitch;
}

// The output may be exactly the input's elements, or none of them.
inline void require_no_overlap(std::string_view name, std::string_view what, const input_matrix& input,
                               std::string_view output_name, const output_matrix& output) {
  if (!intersect(bytes_of(input), bytes_of(output)) || same_elements(input, output) ||
      side_by_side(input, output))
    return;
  throw layout_error(std::string(name) + ": " + std::string(output_name) + " overlaps " + std::string(what) +
                     " without being exactly the same elements");
}

// The same for a vector of `size` items of `bytes` bytes, which may not share any element.
inline void require_no_overlap(std::string_view name, std::string_view what, const void* data,
                               std::size_t size, std::ptrdiff_t byte_stride, std::size_t bytes,
                               std::string_view output_name, const output_matrix& output) {
  if (size == 0) return;
  const auto origin = reinterpret_cast<std::uintptr_t>(data);
  const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(size) - 1) * byte_stride;
  const byte_range range{origin + static_cast<std::uintptr_t>(span < 0 ? span : 0),
                         origin + static_cast<std::uintptr_t>(span > 0 ? span : 0) + bytes};
  if (intersect(range, bytes_of(output)))
    throw layout_error(std::string(name) + ": " + std::string(output_name) + " overlaps " +
                       std::string(what));
}

}  // namespace distill::inline DISTILL_ABI::detail
