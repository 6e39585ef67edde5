// What every function checks of the memory it is given, before anything is written.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <distill/view/memory_range-inl.hpp>

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

[[noreturn]] inline void throw_no_memory(std::string_view name, std::string_view what) {
  throw layout_error(std::string(name) + ": " + std::string(what) + " has no memory");
}
template <class T>
void require_memory(std::string_view name, std::string_view what, const matrix_view<T>& m) {
  if (m.rows() > 0 && m.columns() > 0 && m.data_handle() == nullptr) throw_no_memory(name, what);
}
template <class T>
void require_memory(std::string_view name, std::string_view what, const vector_view<T>& v) {
  if (!v.empty() && v.data_handle() == nullptr) throw_no_memory(name, what);
}
template <class Void>
void require_memory(std::string_view name, std::string_view what, const untyped_matrix<Void>& m) {
  if (m.rows > 0 && m.columns > 0 && m.data == nullptr) throw_no_memory(name, what);
  require_aligned(name, what, m);
}

inline void require_distinct(std::string_view name, std::string_view what, bool distinct) {
  if (!distinct)
    throw layout_error(std::string(name) + ": " + std::string(what) +
                       " has a stride of 0, so its elements are not distinct");
}
inline void require_distinct_elements(std::string_view name, std::string_view what,
                                      const output_matrix& output) {
  require_distinct(
      name, what,
      (output.rows <= 1 || output.row_stride != 0) && (output.columns <= 1 || output.column_stride != 0));
}
template <class T>
void require_distinct_elements(std::string_view name, std::string_view what, const matrix_view<T>& m) {
  const bool empty = m.rows() == 0 || m.columns() == 0;
  require_distinct(name, what,
                   empty || ((m.rows() == 1 || m.stride(0) != 0) && (m.columns() == 1 || m.stride(1) != 0)));
}
template <class T>
void require_distinct_elements(std::string_view name, std::string_view what, const vector_view<T>& v) {
  require_distinct(name, what, v.size() <= 1 || v.stride() != 0);
}

// Memory that is there, each element once.
template <class View>
void require_output(std::string_view name, std::string_view what, const View& view) {
  require_memory(name, what, view);
  require_distinct_elements(name, what, view);
}

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
  if (intersect(bytes_of<1>(data, bytes, {size}, {byte_stride}), bytes_of(output)))
    throw layout_error(std::string(name) + ": " + std::string(output_name) + " overlaps " +
                       std::string(what));
}

}  // namespace distill::inline DISTILL_ABI::detail
