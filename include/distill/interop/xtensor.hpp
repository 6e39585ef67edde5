#pragma once

#include <array>
#include <distill/error/error.hpp>
#include <distill/view/matrix_view.hpp>
#include <xtensor/xadapt.hpp>

namespace distill::inline DISTILL_ABI {

/// A view as an xtensor object over the same memory, whatever its strides: to compute with what the library
/// wrote. Containers, adaptors and strided views of xtensor go into the library as they are; this is the way
/// back. Elements float or double.
/// @throws layout_error for a negative stride
template <class T>
auto xtensor_map(const matrix_view<T>& view) {
  static_assert(std::is_floating_point_v<std::remove_const_t<T>>,
                "distill: xtensor_map is for matrices of float or double");
  if (view.stride(0) < 0 || view.stride(1) < 0) throw layout_error("xtensor_map: a stride is negative");
  const std::array<std::size_t, 2> shape{view.rows(), view.columns()};
  // xtensor wants 0 for a dimension of extent 1.
  const std::array<std::ptrdiff_t, 2> strides{view.rows() == 1 ? 0 : view.stride(0),
                                              view.columns() == 1 ? 0 : view.stride(1)};
  // xtensor wants the number of elements here, however far apart they lie.
  return xt::adapt(view.data_handle(), view.rows() * view.columns(), xt::no_ownership(), shape, strides);
}

}  // namespace distill::inline DISTILL_ABI
