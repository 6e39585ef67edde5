#pragma once

#include <distill/view/matrix_like.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <utility>

namespace distill::inline DISTILL_ABI {

namespace detail {

[[noreturn]] inline void throw_rank(std::size_t rank) {
  throw shape_error("as_view: a matrix has 2 dimensions, this array has " + std::to_string(rank) +
                    "; see flatten_leading for [batch, sequence, vocabulary]");
}

template <class X>
constexpr auto view_of(X& x) {
  if constexpr (is_matrix_view<std::remove_const_t<X>>) {
    return x;
  } else if constexpr (eigen_like<X>) {
    const auto rows = static_cast<std::size_t>(x.rows()), columns = static_cast<std::size_t>(x.cols());
    const auto inner = static_cast<std::ptrdiff_t>(x.innerStride());
    const auto outer = static_cast<std::ptrdiff_t>(x.outerStride());
    return X::IsRowMajor ? matrix_view(x.data(), rows, columns, outer, inner)
                         : matrix_view(x.data(), rows, columns, inner, outer);
  } else if constexpr (xtensor_like<X>) {
    if (x.dimension() != 2) throw_rank(x.dimension());
    return matrix_view(x.data() + x.data_offset(), static_cast<std::size_t>(x.shape()[0]),
                       static_cast<std::size_t>(x.shape()[1]), static_cast<std::ptrdiff_t>(x.strides()[0]),
                       static_cast<std::ptrdiff_t>(x.strides()[1]));
  } else {
    if (x.rank() != 2) throw_rank(x.rank());
    return matrix_view(x.data_handle(), static_cast<std::size_t>(x.extent(0)),
                       static_cast<std::size_t>(x.extent(1)), static_cast<std::ptrdiff_t>(x.stride(0)),
                       static_cast<std::ptrdiff_t>(x.stride(1)));
  }
}

}  // namespace detail

/// The one door: describes a matrix as a matrix_view, without copying.
///
/// Accepts matrix_view, Eigen objects with memory (both storage orders, Map, Ref, Block), xtensor containers,
/// adaptors and strided views of rank 2, and mdspan-like types of rank 2. `std::span` and raw pointers enter
/// through matrix_view's constructors. What torch_matrix and dlpack_matrix return, whose element type is known at
/// run time, passes as it is. Lazy expressions and temporaries that own their elements do not compile.
/// @throws shape_error if the rank, where it is known only at run time, is not 2
template <class X>
constexpr auto as_view(X&& x) {
  using object = std::remove_reference_t<X>;
  constexpr bool is_untyped = detail::is_untyped_matrix<std::remove_const_t<object>>;
  static_assert(is_untyped || matrix_like<object>,
                "distill: this argument is not a matrix of float, double, bfloat16 or float16 in memory; "
                "evaluate a lazy expression into a matrix first");
  if constexpr (is_untyped) {
    return std::remove_const_t<object>(x);
  } else if constexpr (matrix_like<object>) {
    static_assert(std::is_lvalue_reference_v<X> || !detail::owns_elements<std::remove_const_t<object>>(),
                  "distill: this argument is a temporary that owns its elements; give it a name first");
    return detail::view_of<object>(x);
  }
}

}  // namespace distill::inline DISTILL_ABI
