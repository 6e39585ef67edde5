#pragma once

#include <cstdint>
#include <distill/view/matrix_view.hpp>

namespace distill::inline DISTILL_ABI {

/// Which positions of each sample take part, [samples, positions], in memory that somebody else owns: bool,
/// integers of 1, 4 or 8 bytes, or float. What is not 0 takes part, as in an attention mask of transformers.
class mask_view {
 public:
  constexpr mask_view() = default;
  /// Compact row-major memory.
  template <class T>
  constexpr mask_view(const T* data, std::size_t samples, std::size_t positions)
      : mask_view(matrix_view<const T>(data, samples, positions)) {}
  template <class T>
  constexpr mask_view(const matrix_view<T>& view)
      : data_(view.data_handle()),
        extents_{view.rows(), view.columns()},
        strides_{view.stride(0), view.stride(1)},
        kind_(kind_of<std::remove_const_t<T>>()) {}

  constexpr bool empty() const { return data_ == nullptr && extents_[0] == 0; }
  /// The first position of a sample, the bytes of a position, and from one position to the next.
  const void* row(std::size_t sample) const {
    return static_cast<const char*>(data_) +
           static_cast<std::ptrdiff_t>(sample) * strides_[0] * static_cast<std::ptrdiff_t>(item_bytes());
  }
  constexpr std::size_t item_bytes() const {
    return kind_ == kind::byte ? 1 : kind_ == kind::integer64 ? 8 : 4;
  }
  constexpr std::ptrdiff_t byte_stride() const {
    return strides_[1] * static_cast<std::ptrdiff_t>(item_bytes());
  }
  constexpr std::size_t samples() const { return extents_[0]; }
  constexpr std::size_t positions() const { return extents_[1]; }
  bool operator()(std::size_t sample, std::size_t position) const {
    const auto at = static_cast<std::ptrdiff_t>(sample) * strides_[0] +
                    static_cast<std::ptrdiff_t>(position) * strides_[1];
    switch (kind_) {
      case kind::byte:
        return static_cast<const std::uint8_t*>(data_)[at] != 0;
      case kind::integer32:
        return static_cast<const std::int32_t*>(data_)[at] != 0;
      case kind::integer64:
        return static_cast<const std::int64_t*>(data_)[at] != 0;
      default:
        return static_cast<const float*>(data_)[at] != 0;
    }
  }

 private:
  enum class kind : std::uint8_t { byte, integer32, integer64, real };

  template <class T>
  static constexpr kind kind_of() {
    if constexpr (std::is_same_v<T, float>) {
      return kind::real;
    } else {
      static_assert(std::integral<T> && (sizeof(T) == 1 || sizeof(T) == 4 || sizeof(T) == 8),
                    "distill: a mask is of bool, integers of 1, 4 or 8 bytes, or float");
      return sizeof(T) == 1 ? kind::byte : sizeof(T) == 4 ? kind::integer32 : kind::integer64;
    }
  }

  const void* data_ = nullptr;
  std::size_t extents_[2] = {0, 0};
  std::ptrdiff_t strides_[2] = {0, 1};
  kind kind_ = kind::byte;
};

}  // namespace distill::inline DISTILL_ABI
