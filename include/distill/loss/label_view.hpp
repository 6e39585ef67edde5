#pragma once

#include <cstdint>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// Class indices, one per row, in memory that somebody else owns: std::int32_t, std::int64_t or std::uint8_t.
class label_view {
 public:
  constexpr label_view() = default;
  /// From a vector_view, any named contiguous range, or an Eigen-like vector of one of the three types.
  template <class X>
    requires(!std::same_as<std::remove_cvref_t<X>, label_view> &&
             (std::constructible_from<vector_view<const std::int32_t>, X> ||
              std::constructible_from<vector_view<const std::int64_t>, X> ||
              std::constructible_from<vector_view<const std::uint8_t>, X>))
  constexpr label_view(X&& labels) {
    if constexpr (std::constructible_from<vector_view<const std::int32_t>, X>)
      assign(vector_view<const std::int32_t>(labels));
    else if constexpr (std::constructible_from<vector_view<const std::int64_t>, X>)
      assign(vector_view<const std::int64_t>(labels));
    else
      assign(vector_view<const std::uint8_t>(labels));
  }

  constexpr std::size_t size() const { return size_; }
  constexpr const void* data() const { return data_; }
  /// Bytes from one label to the next.
  constexpr std::ptrdiff_t byte_stride() const { return stride_ * bytes_; }
  std::int64_t operator[](std::size_t row) const {
    const auto offset = static_cast<std::ptrdiff_t>(row) * stride_;
    switch (bytes_) {
      case 1: return static_cast<const std::uint8_t*>(data_)[offset];
      case 4: return static_cast<const std::int32_t*>(data_)[offset];
      default: return static_cast<const std::int64_t*>(data_)[offset];
    }
  }
  /// The same memory, not the same content.
  bool operator==(const label_view&) const = default;

 private:
  template <class T>
  constexpr void assign(vector_view<const T> view) {
    data_ = view.data_handle();
    size_ = view.size();
    stride_ = view.stride();
    bytes_ = sizeof(T);
  }

  const void* data_ = nullptr;
  std::size_t size_ = 0;
  std::ptrdiff_t stride_ = 1;
  int bytes_ = 8;
};

}  // namespace distill::inline DISTILL_ABI
