// What functions of tensors check of the memory they are given, before anything is written.
#pragma once

#include <distill/view/require_memory-inl.hpp>
#include <distill/view/untyped_tensor.hpp>

namespace distill::inline DISTILL_ABI::detail {

template <class Void>
byte_range bytes_of(const untyped_tensor<Void>& x) {
  const auto bytes = static_cast<std::ptrdiff_t>(size_of(x.type));
  std::array<std::ptrdiff_t, 4> byte_strides = x.strides;
  for (std::ptrdiff_t& stride : byte_strides) stride *= bytes;
  return bytes_of<4>(x.data, size_of(x.type), x.extents, byte_strides);
}

// What is wrong with the memory itself; null where nothing is.
template <class Void>
const char* defect_of(const untyped_tensor<Void>& x) {
  if (x.data == nullptr) return " has no memory";
  if (reinterpret_cast<std::uintptr_t>(x.data) % size_of(x.type) != 0)
    return " is not aligned to its elements";
  if constexpr (!std::is_const_v<Void>)
    for (std::size_t i = 0; i < 4; ++i)
      if (x.extents[i] > 1 && x.strides[i] == 0)
        return " has a stride of 0, so its elements are not distinct";
  return nullptr;
}

template <class A, class B>
bool same_elements(const untyped_tensor<A>& a, const untyped_tensor<B>& b) {
  if (a.data != b.data || a.type != b.type || a.extents != b.extents) return false;
  for (std::size_t i = 0; i < 4; ++i)
    if (a.extents[i] > 1 && a.strides[i] != b.strides[i]) return false;
  return true;
}

// Whether two tensors share memory; slices of one buffer with the same strides, such as packed queries and
// keys, are told apart, other interleavings count as sharing.
class sharing {
 public:
  template <class A, class B>
  static bool between(const untyped_tensor<A>& a, const untyped_tensor<B>& b) {
    if (!intersect(bytes_of(a), bytes_of(b))) return false;
    const auto bytes = static_cast<std::ptrdiff_t>(size_of(a.type));
    const std::ptrdiff_t distance = static_cast<const char*>(b.data) - static_cast<const char*>(a.data);
    if (a.type != b.type || distance % bytes != 0) return true;
    sharing steps;
    for (std::size_t i = 0; i < 4; ++i) {
      if (a.extents[i] > 1 && b.extents[i] > 1 && a.strides[i] != b.strides[i]) return true;
      const auto most_a = static_cast<std::ptrdiff_t>(a.extents[i]) - 1;
      const auto most_b = static_cast<std::ptrdiff_t>(b.extents[i]) - 1;
      const std::ptrdiff_t stride = a.extents[i] > 1 ? a.strides[i] : b.strides[i];
      if (most_a + most_b > 0)
        steps.dimensions_[steps.count_++] =
            stride > 0 ? dimension{stride, -most_b, most_a} : dimension{-stride, -most_a, most_b};
    }
    for (std::size_t i = 1; i < steps.count_; ++i)  // largest stride first
      for (std::size_t j = i; j > 0 && steps.dimensions_[j - 1].stride < steps.dimensions_[j].stride; --j)
        std::swap(steps.dimensions_[j - 1], steps.dimensions_[j]);
    return steps.reach(distance / bytes, 0);
  }

 private:
  // Steps of one index of a minus the same index of b, within [least, most].
  struct dimension {
    std::ptrdiff_t stride, least, most;
  };

  bool reach(std::ptrdiff_t distance, std::size_t next) const {
    if (next == count_) return distance == 0;
    std::ptrdiff_t least = 0, most = 0;  // what the dimensions after this one can reach
    for (std::size_t i = next + 1; i < count_; ++i) {
      least += dimensions_[i].least * dimensions_[i].stride;
      most += dimensions_[i].most * dimensions_[i].stride;
    }
    const dimension& d = dimensions_[next];
    if (d.stride == 0) return true;
    const std::ptrdiff_t about = distance / d.stride;
    constexpr std::ptrdiff_t most_tries = 4;
    if ((most - least) / d.stride > most_tries) return true;  // not nested: not worth finding out
    for (std::ptrdiff_t step = about - most_tries - 2; step <= about + most_tries + 2; ++step) {
      const std::ptrdiff_t rest = distance - step * d.stride;
      if (step >= d.least && step <= d.most && rest >= least && rest <= most && reach(rest, next + 1))
        return true;
    }
    return false;
  }

  dimension dimensions_[4] = {};
  std::size_t count_ = 0;
};

}  // namespace distill::inline DISTILL_ABI::detail
