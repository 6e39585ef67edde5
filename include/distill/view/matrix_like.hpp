#pragma once

#include <concepts>
#include <cstddef>
#include <distill/view/matrix_view.hpp>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// Set to false for a type that merely looks like a matrix.
template <class X>
inline constexpr bool enable_matrix_like = true;

namespace detail {

template <class Pointer>
concept pointer_to_element =
    std::is_pointer_v<Pointer> && element<std::remove_cv_t<std::remove_pointer_t<Pointer>>>;

template <class X>
inline constexpr bool is_matrix_view = false;
template <class T>
inline constexpr bool is_matrix_view<matrix_view<T>> = true;

}  // namespace detail

/// Eigen's dense objects with memory behind them: Matrix, Array, Map, Ref, Block, in either storage order.
/// Expressions such as `a + b` have no data() and do not match.
template <class X>
concept eigen_like = enable_matrix_like<std::remove_cvref_t<X>> && requires(X& x) {
  { x.data() } -> detail::pointer_to_element;
  { x.rows() } -> std::convertible_to<std::ptrdiff_t>;
  { x.cols() } -> std::convertible_to<std::ptrdiff_t>;
  { x.innerStride() } -> std::convertible_to<std::ptrdiff_t>;
  { x.outerStride() } -> std::convertible_to<std::ptrdiff_t>;
  { std::remove_cvref_t<X>::IsRowMajor };
};

/// xtensor's containers, adaptors and strided views, of any rank. Expressions have no data() and do not match.
template <class X>
concept xtensor_like = enable_matrix_like<std::remove_cvref_t<X>> && requires(X& x) {
  { x.data() } -> detail::pointer_to_element;
  { x.data_offset() } -> std::convertible_to<std::ptrdiff_t>;
  { x.dimension() } -> std::convertible_to<std::size_t>;
  { x.shape()[0] } -> std::convertible_to<std::size_t>;
  { x.strides()[0] } -> std::convertible_to<std::ptrdiff_t>;
};

/// std::mdspan and its relatives, matrix_view included, of any rank.
template <class X>
concept mdspan_like = enable_matrix_like<std::remove_cvref_t<X>> && requires(X& x) {
  { x.data_handle() } -> detail::pointer_to_element;
  { x.rank() } -> std::convertible_to<std::size_t>;
  { x.extent(0) } -> std::convertible_to<std::size_t>;
  { x.stride(0) } -> std::convertible_to<std::ptrdiff_t>;
};

/// Anything as_view accepts.
template <class X>
concept matrix_like = eigen_like<X> || xtensor_like<X> || mdspan_like<X>;

namespace detail {

template <class X>
concept resizable_by_shape = requires(X& x) { x.resize(x.shape()); };

/// True where destroying the object frees the elements, so that a view of a temporary would dangle.
template <class X>
constexpr bool owns_elements() {
  if constexpr (eigen_like<X> && requires { typename X::PlainObject; })
    return std::is_same_v<typename X::PlainObject, X>;
  else if constexpr (xtensor_like<X>)
    return resizable_by_shape<X>;
  else
    return false;
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI
