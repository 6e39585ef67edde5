#pragma once

#include <array>
#include <distill/view/matrix_like.hpp>
#include <utility>

namespace distill::inline DISTILL_ABI {

/// A strided window of rank 4 on memory that somebody else owns: [batch, heads, rows, columns], or images
/// [batch, channels, height, width]. Trivially copyable; strides are in elements. The members carry
/// std::mdspan's names.
template <class T>
requires element<T>
class tensor_view {
 public:
  using element = T;
  using extents_type = std::array<std::size_t, 4>;
  using strides_type = std::array<std::ptrdiff_t, 4>;

  constexpr tensor_view() = default;
  /// Compact row-major memory.
  constexpr tensor_view(T* data, const extents_type& extents)
      : tensor_view(data, extents, compact(extents)) {}
  constexpr tensor_view(T* data, const extents_type& extents, const strides_type& strides)
      : data_(data), extents_(extents), strides_(strides) {}
  /// Compact row-major memory of exactly the product of the extents. Throws shape_error otherwise.
  constexpr tensor_view(std::span<T> memory, const extents_type& extents)
      : tensor_view(memory.data(), extents) {
    const std::size_t needed = extents[0] * extents[1] * extents[2] * extents[3];
    if (memory.size() != needed)
      throw shape_error("tensor_view: the span has " + std::to_string(memory.size()) +
                        " elements, the extents need " + std::to_string(needed));
  }
  /// A view of mutable elements is a view of const ones.
  template <class U>
  requires(std::is_const_v<T>&& std::is_same_v<U, std::remove_const_t<T>>) constexpr tensor_view(
      const tensor_view<U>& other)
      : tensor_view(other.data_handle(), other.extents(), other.strides()) {}

  static constexpr std::size_t rank() { return 4; }
  constexpr T* data_handle() const { return data_; }
  constexpr std::size_t extent(int dimension) const { return extents_[static_cast<std::size_t>(dimension)]; }
  constexpr std::ptrdiff_t stride(int dimension) const {
    return strides_[static_cast<std::size_t>(dimension)];
  }
  constexpr const extents_type& extents() const { return extents_; }
  constexpr const strides_type& strides() const { return strides_; }
  constexpr T& operator()(std::size_t i, std::size_t j, std::size_t k, std::size_t l) const {
    return data_[static_cast<std::ptrdiff_t>(i) * strides_[0] + static_cast<std::ptrdiff_t>(j) * strides_[1] +
                 static_cast<std::ptrdiff_t>(k) * strides_[2] + static_cast<std::ptrdiff_t>(l) * strides_[3]];
  }

 private:
  static constexpr strides_type compact(const extents_type& e) {
    const auto step = [](std::size_t count) { return static_cast<std::ptrdiff_t>(count); };
    return {step(e[1] * e[2] * e[3]), step(e[2] * e[3]), step(e[3]), 1};
  }

  T* data_ = nullptr;
  extents_type extents_ = {0, 0, 0, 0};
  strides_type strides_ = {0, 0, 0, 1};
};

namespace detail {

template <class X>
inline constexpr bool is_tensor_view = false;
template <class T>
inline constexpr bool is_tensor_view<tensor_view<T>> = true;

template <class Void>
struct untyped_tensor;
template <class X>
inline constexpr bool is_untyped_tensor = false;
template <class Void>
inline constexpr bool is_untyped_tensor<untyped_tensor<Void>> = true;

// An array of rank 4; or of rank 3, with a dimension of extent 1 put at `inserted`.
template <class T, class Extent, class Stride>
constexpr tensor_view<T> tensor_of(T* data, std::size_t rank, std::size_t inserted, Extent extent,
                                   Stride stride) {
  if (rank != 4 && rank != 3)
    throw shape_error("as_tensor: needs 4 dimensions, or 3 where one is left out, this array has " +
                      std::to_string(rank));
  typename tensor_view<T>::extents_type extents{};
  typename tensor_view<T>::strides_type strides{};
  for (std::size_t i = 0, from = 0; i < 4; ++i) {
    const bool is_new = rank == 3 && i == inserted;
    extents[i] = is_new ? 1 : static_cast<std::size_t>(extent(from));
    strides[i] = is_new ? 0 : static_cast<std::ptrdiff_t>(stride(from));
    from += is_new ? 0 : 1;
  }
  return {data, extents, strides};
}

}  // namespace detail

/// Describes an array of rank 4 as a tensor_view, without copying: a tensor_view, an xtensor-like or
/// mdspan-like array. An array of rank 3 gets a dimension of extent 1 at `inserted`: [batch, sequence, width]
/// becomes [batch, 1, sequence, width]. What torch_tensor and dlpack_tensor return passes as it is.
/// @throws shape_error if the rank, where it is known only at run time, is neither 4 nor 3
template <std::size_t inserted = 1, class X>
constexpr auto as_tensor(X&& x) {
  using object = std::remove_reference_t<X>;
  constexpr bool is_untyped = detail::is_untyped_tensor<std::remove_const_t<object>>;
  static_assert(
      is_untyped || xtensor_like<object> || mdspan_like<object>,
      "distill: this argument is not an array of rank 4 in memory; evaluate a lazy expression first");
  if constexpr (is_untyped || detail::is_tensor_view<std::remove_const_t<object>>) {
    return std::remove_const_t<object>(x);
  } else if constexpr (xtensor_like<object> || mdspan_like<object>) {
    static_assert(std::is_lvalue_reference_v<X> || !detail::owns_elements<std::remove_const_t<object>>(),
                  "distill: this argument is a temporary that owns its elements; give it a name first");
    if constexpr (xtensor_like<object>)
      return detail::tensor_of(
          x.data() + x.data_offset(), x.dimension(), inserted, [&](std::size_t i) { return x.shape()[i]; },
          [&](std::size_t i) { return x.strides()[i]; });
    else
      return detail::tensor_of(
          x.data_handle(), x.rank(), inserted, [&](std::size_t i) { return x.extent(static_cast<int>(i)); },
          [&](std::size_t i) { return x.stride(static_cast<int>(i)); });
  }
}

}  // namespace distill::inline DISTILL_ABI
