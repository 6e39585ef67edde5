#pragma once

#include <distill/view/tensor_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// A tensor_view with its element type as a run-time value: what crosses into compiled code.
template <class Void>
struct untyped_tensor {
  Void* data = nullptr;
  std::array<std::size_t, 4> extents = {0, 0, 0, 0};
  std::array<std::ptrdiff_t, 4> strides = {0, 0, 0, 1};
  element_type type = element_type::float32;

  constexpr untyped_tensor() = default;
  template <element T>
  requires(std::is_const_v<Void> || !std::is_const_v<T>) constexpr untyped_tensor(const tensor_view<T>& view)
      : data(view.data_handle()),
        extents(view.extents()),
        strides(view.strides()),
        type(element_traits<std::remove_const_t<T>>::type) {}
  /// A view of mutable elements is a view of const ones.
  template <class Other>
    requires(std::is_const_v<Void> && std::is_same_v<Other, void>)
  constexpr untyped_tensor(const untyped_tensor<Other>& other)
      : data(other.data), extents(other.extents), strides(other.strides), type(other.type) {}

  bool is_absent() const { return data == nullptr && extents[0] == 0; }

  /// The matrix of the last two dimensions at [i, j].
  untyped_matrix<Void> matrix(std::size_t i, std::size_t j) const {
    using byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
    const auto offset =
        static_cast<std::ptrdiff_t>(i) * strides[0] + static_cast<std::ptrdiff_t>(j) * strides[1];
    untyped_matrix<Void> m;
    m.data = static_cast<byte*>(data) + offset * static_cast<std::ptrdiff_t>(size_of(type));
    m.rows = extents[2];
    m.columns = extents[3];
    m.row_stride = strides[2];
    m.column_stride = strides[3];
    m.type = type;
    return m;
  }
};

using input_tensor = untyped_tensor<const void>;
using output_tensor = untyped_tensor<void>;

/// Rows [row, row + rows) and columns [column, column + columns) of a matrix.
template <class Void>
untyped_matrix<Void> window(untyped_matrix<Void> m, std::size_t row, std::size_t rows, std::size_t column,
                            std::size_t columns) {
  using byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
  if (m.data == nullptr) return m;
  const auto offset =
      static_cast<std::ptrdiff_t>(row) * m.row_stride + static_cast<std::ptrdiff_t>(column) * m.column_stride;
  m.data = static_cast<byte*>(m.data) + offset * static_cast<std::ptrdiff_t>(size_of(m.type));
  m.rows = rows;
  m.columns = columns;
  return m;
}

template <class Void>
untyped_matrix<Void> transposed(untyped_matrix<Void> m) {
  std::swap(m.rows, m.columns);
  std::swap(m.row_stride, m.column_stride);
  return m;
}

inline input_tensor as_input(const output_tensor& x) { return x; }

}  // namespace distill::inline DISTILL_ABI::detail
