#pragma once

#include <distill/view/matrix_view.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// A matrix_view with its element type as a run-time value: what crosses into compiled code.
template <class Void>
struct untyped_matrix {
  Void* data = nullptr;
  std::size_t rows = 0, columns = 0;
  std::ptrdiff_t row_stride = 0, column_stride = 1;
  element_type type = element_type::float32;

  constexpr untyped_matrix() = default;
  template <element T>
    requires(std::is_const_v<Void> || !std::is_const_v<T>)
  constexpr untyped_matrix(const matrix_view<T>& view)
      : data(view.data_handle()),
        rows(view.rows()),
        columns(view.columns()),
        row_stride(view.stride(0)),
        column_stride(view.stride(1)),
        type(element_traits<std::remove_const_t<T>>::type) {}
  /// A view of mutable elements is a view of const ones.
  template <class Other>
    requires(std::is_const_v<Void> && std::is_same_v<Other, void>)
  constexpr untyped_matrix(const untyped_matrix<Other>& other)
      : data(other.data),
        rows(other.rows),
        columns(other.columns),
        row_stride(other.row_stride),
        column_stride(other.column_stride),
        type(other.type) {}
};

template <class X>
inline constexpr bool is_untyped_matrix = false;
template <class Void>
inline constexpr bool is_untyped_matrix<untyped_matrix<Void>> = true;

using input_matrix = untyped_matrix<const void>;
using output_matrix = untyped_matrix<void>;

/// What was or will be written, to be read.
inline input_matrix as_input(const output_matrix& m) { return m; }

}  // namespace distill::inline DISTILL_ABI::detail
