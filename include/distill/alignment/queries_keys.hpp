#pragma once

#include <distill/view/tensor_view.hpp>
#include <optional>

namespace distill::inline DISTILL_ABI {

/// What attention scores are made of, scale * Q Kᵀ: queries [batch, heads, queries, width] and keys
/// [batch, key heads, keys, width], of one element type. With fewer key heads than heads, consecutive heads
/// share keys (grouped queries). The scale is 1 / sqrt(width) unless given. The same struct takes their
/// gradients. One of the last two strides must be 1; 16-bit elements, which are converted a head at a time,
/// may have any strides, and their gradients may be float. An array of rank 3, [batch, positions, width], has
/// one head.
template <class T>
struct queries_keys {
  tensor_view<T> queries, keys;
  std::optional<double> scale = std::nullopt;

  template <class Q, class K>
  queries_keys(Q&& q, K&& k, std::optional<double> s = std::nullopt)
      : queries(as_tensor(std::forward<Q>(q))), keys(as_tensor(std::forward<K>(k))), scale(s) {}
};

template <class Q, class K>
queries_keys(Q&&, K&&, std::optional<double> = std::nullopt)
    -> queries_keys<typename std::remove_cvref_t<decltype(as_tensor(std::declval<Q>()))>::element>;

}  // namespace distill::inline DISTILL_ABI
