#pragma once

#include <concepts>
#include <cstddef>
#include <distill/error/error.hpp>
#include <distill/view/element_type.hpp>
#include <span>

namespace distill::inline DISTILL_ABI {

/// A strided [rows, columns] window on memory that somebody else owns. Trivially copyable; strides are in
/// elements and may be negative. The members carry std::mdspan's names. Elements: the four of element_type, or
/// integers where a function takes indices.
template <class T>
  requires(element<T> || std::integral<std::remove_const_t<T>>)
class matrix_view {
 public:
  using element = T;

  constexpr matrix_view() = default;
  /// Compact row-major memory.
  constexpr matrix_view(T* data, std::size_t rows, std::size_t columns)
      : matrix_view(data, rows, columns, static_cast<std::ptrdiff_t>(columns), 1) {}
  constexpr matrix_view(T* data, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride,
                        std::ptrdiff_t column_stride)
      : data_(data), extents_{rows, columns}, strides_{row_stride, column_stride} {}
  /// Compact row-major memory of exactly rows * columns elements. Throws shape_error otherwise.
  constexpr matrix_view(std::span<T> memory, std::size_t rows, std::size_t columns)
      : matrix_view(memory.data(), rows, columns) {
    if (memory.size() != rows * columns)
      throw shape_error("matrix_view: the span has " + std::to_string(memory.size()) + " elements, " +
                        std::to_string(rows) + " x " + std::to_string(columns) + " needs " +
                        std::to_string(rows * columns));
  }
  /// A view of mutable elements is a view of const ones.
  template <class U>
    requires(std::is_const_v<T> && std::is_same_v<U, std::remove_const_t<T>>)
  constexpr matrix_view(const matrix_view<U>& other)
      : matrix_view(other.data_handle(), other.rows(), other.columns(), other.stride(0), other.stride(1)) {}

  static constexpr std::size_t rank() { return 2; }
  constexpr T* data_handle() const { return data_; }
  constexpr std::size_t extent(int dimension) const { return extents_[dimension]; }
  constexpr std::ptrdiff_t stride(int dimension) const { return strides_[dimension]; }
  constexpr std::size_t rows() const { return extents_[0]; }
  constexpr std::size_t columns() const { return extents_[1]; }
  constexpr T& operator()(std::size_t row, std::size_t column) const {
    return data_[static_cast<std::ptrdiff_t>(row) * strides_[0] + static_cast<std::ptrdiff_t>(column) * strides_[1]];
  }

 private:
  T* data_ = nullptr;
  std::size_t extents_[2] = {0, 0};
  std::ptrdiff_t strides_[2] = {0, 1};
};

}  // namespace distill::inline DISTILL_ABI
