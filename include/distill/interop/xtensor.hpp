#pragma once

#include <array>
#include <distill/error/error.hpp>
#include <distill/view/matrix_view.hpp>
#include <utility>
#include <xtensor/xadapt.hpp>
#include <xtensor/xstrided_view.hpp>

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
  std::array<std::size_t, 2> shape{view.rows(), view.columns()};
  // xtensor wants 0 for a dimension of extent 1.
  std::array<std::ptrdiff_t, 2> strides{view.rows() == 1 ? 0 : view.stride(0),
                                        view.columns() == 1 ? 0 : view.stride(1)};
  std::size_t size = 0;
  if (view.rows() > 0 && view.columns() > 0)
    size = (view.rows() - 1) * static_cast<std::size_t>(view.stride(0)) +
           (view.columns() - 1) * static_cast<std::size_t>(view.stride(1)) + 1;
  // An adaptor alone would take the elements for neighbours in some assignments.
  return xt::strided_view(
      xt::adapt(view.data_handle(), size, xt::no_ownership(), std::array<std::size_t, 1>{size}),
      std::move(shape), std::move(strides), 0, xt::layout_type::dynamic);
}

}  // namespace distill::inline DISTILL_ABI
