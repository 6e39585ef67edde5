#pragma once

#include <cstddef>
#include <cstring>
#include <distill/error/error.hpp>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>

namespace distill::inline DISTILL_ABI {

/// Scratch memory that a caller keeps between calls, so that repeated calls allocate nothing.
/// Grows to the largest request and stays there; or works in memory the caller owns and never allocates.
/// One workspace serves one call at a time.
class workspace {
 public:
  static constexpr std::size_t alignment = 64;

  workspace() = default;
  /// Works inside `external` only; a call that needs more throws shape_error stating how much.
  explicit workspace(std::span<std::byte> external) : external_(external) {}
  workspace(workspace&& other) noexcept
      : owned_(std::move(other.owned_)),
        size_(std::exchange(other.size_, 0)),
        external_(std::exchange(other.external_, {})) {}
  workspace& operator=(workspace&& other) noexcept {
    owned_ = std::move(other.owned_);
    size_ = std::exchange(other.size_, 0);
    external_ = std::exchange(other.external_, {});
    return *this;
  }

  /// At least `bytes` bytes at 64-byte alignment. What an earlier, smaller request wrote is still there; the rest is
  /// unspecified.
  /// @throws shape_error if caller-owned memory is too small, std::bad_alloc if there is no memory
  std::byte* require(std::size_t bytes) {
    if (external_.data() != nullptr) return within_external(bytes);
    if (bytes > size_) {
      memory grown(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{alignment})));
      if (size_ > 0) std::memcpy(grown.get(), owned_.get(), size_);
      owned_ = std::move(grown);
      size_ = bytes;
    }
    return owned_.get();
  }

  /// Bytes held now.
  std::size_t size() const { return external_.data() != nullptr ? external_.size() : size_; }

 private:
  std::byte* within_external(std::size_t bytes) const {
    void* start = external_.data();
    std::size_t space = external_.size();
    if (std::align(alignment, bytes, start, space) == nullptr)
      throw shape_error("workspace: needs " + std::to_string(bytes + alignment) + " bytes, has " +
                        std::to_string(external_.size()));
    return static_cast<std::byte*>(start);
  }

  struct aligned_delete {
    void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t{alignment}); }
  };

  using memory = std::unique_ptr<std::byte, aligned_delete>;

  memory owned_;
  std::size_t size_ = 0;
  std::span<std::byte> external_;
};

}  // namespace distill::inline DISTILL_ABI
