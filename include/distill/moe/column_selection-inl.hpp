// The C largest of one expert's column of probabilities, by radix: for expert_choice_gate.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <distill/version.hpp>
#include <functional>
#include <type_traits>

namespace distill::inline DISTILL_ABI::detail {

// What stands in a column instead of a probability. In the order of keys: masked < no softmax < 0.
template <class T>
inline constexpr T masked_probability = T(-0.0);
template <class T>
inline constexpr T no_probability = T(-1);

// An integer that orders as the probabilities do.
template <class T>
auto selection_key(T p) {
  using key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<key>(p) ^ (key{1} << (8 * sizeof(T) - 1));
}

template <class T>
struct selection_scratch {
  using key = decltype(selection_key(T{}));
  key* candidates;         // [tokens]
  std::uint32_t* indices;  // [tokens]

  static constexpr std::size_t bytes_per_token = sizeof(key) + sizeof(std::uint32_t);
};

// The `rank`-th largest key (from 1) of a column, and how many keys equal to it belong to the `rank` largest.
template <class T>
struct selection_threshold {
  decltype(selection_key(T{})) key;
  std::size_t equal;
};

template <class T>
selection_threshold<T> threshold_of(const T* column, std::size_t count, std::size_t rank,
                                    const selection_scratch<T>& scratch) {
  constexpr int digit_bits = 11;
  constexpr std::size_t buckets = std::size_t{1} << digit_bits, few = 48;
  using key = typename selection_scratch<T>::key;
  std::array<std::uint32_t, buckets> counters;
  int shift = 8 * static_cast<int>(sizeof(T)) - digit_bits;
  // The digit in which the rank-th largest lies, of the keys that at(i) gives.
  const auto find_digit = [&](std::size_t n, auto at) {
    counters.fill(0);
    for (std::size_t i = 0; i < n; ++i) ++counters[static_cast<std::size_t>(at(i) >> shift) % buckets];
    std::size_t digit = buckets - 1;
    for (; counters[digit] < rank; --digit) rank -= counters[digit];
    return digit;
  };
  const auto keep = [&](std::size_t n, std::size_t digit, auto at) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const key candidate = at(i);
      scratch.candidates[kept] = candidate;
      kept += static_cast<std::size_t>(candidate >> shift) % buckets == digit ? 1 : 0;
    }
    return kept;
  };
  const auto from_column = [&](std::size_t i) { return selection_key(column[i]); };
  const auto from_candidates = [&](std::size_t i) { return scratch.candidates[i]; };
  std::size_t n = keep(count, find_digit(count, from_column), from_column);
  while (n > few && shift > 0) {
    shift = std::max(0, shift - digit_bits);
    n = keep(n, find_digit(n, from_candidates), from_candidates);
  }
  if (shift == 0) return {scratch.candidates[0], rank};
  std::sort(scratch.candidates, scratch.candidates + n, std::greater<>());
  const key threshold = scratch.candidates[rank - 1];
  return {threshold,
          rank - static_cast<std::size_t>(std::lower_bound(scratch.candidates, scratch.candidates + n,
                                                           threshold, std::greater<>()) -
                                          scratch.candidates)};
}

// Writes the indices of the `rank` largest in ascending order to the scratch; equal keys: the lower index
// first.
template <class T>
void select_largest(const T* column, std::size_t count, std::size_t rank,
                    const selection_scratch<T>& scratch) {
  if (rank == 0) return;
  const selection_threshold<T> threshold = threshold_of(column, count, rank, scratch);
  std::size_t taken = 0, equal = threshold.equal;
  for (std::size_t i = 0; i < count; ++i) {
    const auto key = selection_key(column[i]);
    const std::size_t ties = (key == threshold.key) & (equal > 0);
    scratch.indices[taken] = static_cast<std::uint32_t>(i);
    taken += ties | static_cast<std::size_t>(key > threshold.key);
    equal -= ties;
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
