// Single elements of a matrix whose type is known at run time: for rare paths, not for kernels.
#pragma once

#include <distill/view/untyped_matrix.hpp>
#include <type_traits>

namespace distill::inline DISTILL_ABI::detail {

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

template <class Void>
double element_at(const untyped_matrix<Void>& m, std::size_t row, std::size_t column) {
  return with_elements(m, [&](const auto& view) { return as_double(view(row, column)); });
}
inline void assign_at(const output_matrix& m, std::size_t row, std::size_t column, double value) {
  with_elements(m, [&](const auto& view) { assign_double(view(row, column), value); });
}

}  // namespace distill::inline DISTILL_ABI::detail
