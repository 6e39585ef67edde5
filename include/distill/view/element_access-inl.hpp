// Single elements of a matrix whose type is known at run time: for rare paths, not for kernels.
#pragma once

#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

template <class Void>
double element_at(const untyped_matrix<Void>& m, std::size_t row, std::size_t column) {
  const auto i =
      static_cast<std::ptrdiff_t>(row) * m.row_stride + static_cast<std::ptrdiff_t>(column) * m.column_stride;
  switch (m.type) {
    case element_type::float32:
      return static_cast<double>(static_cast<const float*>(m.data)[i]);
    case element_type::float64:
      return static_cast<const double*>(m.data)[i];
    case element_type::bfloat16:
      return static_cast<double>(static_cast<float>(static_cast<const bfloat16*>(m.data)[i]));
    case element_type::float16:
      return static_cast<double>(static_cast<float>(static_cast<const float16*>(m.data)[i]));
  }
  return 0;
}

inline void assign_at(const output_matrix& m, std::size_t row, std::size_t column, double value) {
  const auto i =
      static_cast<std::ptrdiff_t>(row) * m.row_stride + static_cast<std::ptrdiff_t>(column) * m.column_stride;
  switch (m.type) {
    case element_type::float32:
      static_cast<float*>(m.data)[i] = static_cast<float>(value);
      return;
    case element_type::float64:
      static_cast<double*>(m.data)[i] = value;
      return;
    case element_type::bfloat16:
      static_cast<bfloat16*>(m.data)[i] = bfloat16(static_cast<float>(value));
      return;
    case element_type::float16:
      static_cast<float16*>(m.data)[i] = float16(static_cast<float>(value));
      return;
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
