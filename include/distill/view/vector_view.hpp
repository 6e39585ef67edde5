#pragma once

#include <cstddef>
#include <distill/version.hpp>
#include <ranges>
#include <span>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

namespace detail {
template <class X>
concept strided_vector_like = requires(X& x) {
  { x.data() };
  { x.size() } -> std::convertible_to<std::size_t>;
  { x.innerStride() } -> std::convertible_to<std::ptrdiff_t>;
};
}  // namespace detail

/// A strided run of elements in memory that somebody else owns. Trivially copyable; strides are in elements.
template <class T>
class vector_view {
 public:
  using element = T;

  constexpr vector_view() = default;
  constexpr vector_view(T* data, std::size_t size, std::ptrdiff_t stride = 1)
      : data_(data), size_(size), stride_(stride) {}

  /// From any named contiguous range (std::vector, std::array, std::span, an array) or Eigen-like vector.
  template <class X>
    requires(!std::is_same_v<std::remove_cvref_t<X>, vector_view> &&
             (std::ranges::borrowed_range<X&> || detail::strided_vector_like<std::remove_reference_t<X>>) &&
             requires(X& x) {
               { x.data() } -> std::convertible_to<T*>;
               { x.size() } -> std::convertible_to<std::size_t>;
             })
  constexpr vector_view(X&& x) : data_(x.data()), size_(static_cast<std::size_t>(x.size())) {
    if constexpr (detail::strided_vector_like<std::remove_reference_t<X>>) stride_ = x.innerStride();
  }
  template <std::size_t N>
  constexpr vector_view(T (&array)[N]) : data_(array), size_(N) {}

  /// A view of mutable elements is a view of const ones.
  template <class U>
    requires(std::is_const_v<T> && std::is_same_v<U, std::remove_const_t<T>>)
  constexpr vector_view(const vector_view<U>& other)
      : data_(other.data_handle()), size_(other.size()), stride_(other.stride()) {}

  constexpr T* data_handle() const { return data_; }
  constexpr std::size_t size() const { return size_; }
  constexpr std::size_t extent(int) const { return size_; }
  constexpr std::ptrdiff_t stride(int = 0) const { return stride_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr T& operator[](std::size_t i) const { return data_[static_cast<std::ptrdiff_t>(i) * stride_]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::ptrdiff_t stride_ = 1;
};

}  // namespace distill::inline DISTILL_ABI
