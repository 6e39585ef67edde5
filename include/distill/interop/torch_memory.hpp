#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Storage.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <array>
#include <cstdint>
#include <distill/execution/workspace.hpp>
#include <distill/version.hpp>
#include <utility>

namespace distill::inline DISTILL_ABI {

namespace detail {

/// On Linux the faults of a new gradient's small pages take longer than the loss. Only a hint, and only for
/// what lies entirely inside.
inline void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = std::uintptr_t{1} << 21;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (begin + page - 1) / page * page, last = (begin + bytes) / page * page;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

/// A new tensor in the layout of `input`.
inline at::Tensor new_tensor(const at::Tensor& input, at::ScalarType type) {
  const at::Tensor made = at::empty_like(input, type);
  prefer_large_pages(made.data_ptr(), made.nbytes());
  return made;
}

/// The memory of one tensor at a time. What is kept is the storage, never a tensor: autograd would copy the
/// gradient of a tensor that somebody else refers to.
class kept_storage {
 public:
  /// A tensor in the layout of `input`, its entries unspecified: in the kept memory if no tensor lies there
  /// any more and it is large enough, otherwise in new memory, which is kept instead.
  at::Tensor like(const at::Tensor& input, at::ScalarType type) {
    const std::size_t bytes = static_cast<std::size_t>(input.numel()) * c10::elementSize(type);
    if (is_free() && storage_.nbytes() >= bytes) {
      const at::Tensor layout = at::empty_like(input, input.options().dtype(type).device(at::kMeta));
      return at::empty({0}, input.options().dtype(type)).set_(storage_, 0, layout.sizes(), layout.strides());
    }
    storage_ = c10::Storage();  // before there are two
    const at::Tensor made = new_tensor(input, type);
    storage_ = made.storage();
    data_ = storage_.data();
    return made;
  }
  std::size_t size() const { return storage_ ? storage_.nbytes() : 0; }

 private:
  // Memory that a storage got since, by resizing or sharing between processes, may have other users.
  bool is_free() const { return storage_ && storage_.use_count() == 1 && storage_.data() == data_; }

  c10::Storage storage_;
  const void* data_ = nullptr;
};

}  // namespace detail

/// Memory that a caller keeps between steps, so that torch_loss allocates no gradient and no scratch:
/// `torch_loss(loss, student, teacher, {}, &memory)`.
///
/// A gradient's memory is used again once no tensor lies there any more: neither in a graph that may still
/// run backward nor as a .grad. Until then a call makes new memory, as without torch_memory, and keeps that
/// instead. Sizes and element types may change; the memory grows to the largest request and stays there.
/// One for each loss of a step: two losses may share one, but as one gradient is kept, only one of them finds
/// memory. One call at a time; backward() may run in any thread. Assigning {} releases.
class torch_memory {
 public:
  torch_memory() = default;

  /// Bytes held now, whether in use or not.
  std::size_t size() const { return gradients_[0].size() + gradients_[1].size() + scratch_.size(); }

  /// For the gradient of a call's input number `index`, 0 or 1; see detail::kept_storage.
  at::Tensor gradient_like(const at::Tensor& input, at::ScalarType type, std::size_t index) {
    return gradients_[index].like(input, type);
  }
  /// For a call whose options name no workspace.
  workspace& scratch() { return scratch_; }

 private:
  std::array<detail::kept_storage, 2> gradients_;
  workspace scratch_;
};

}  // namespace distill::inline DISTILL_ABI
