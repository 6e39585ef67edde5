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

// Works on the highest bits in which the keys differ: equal keys end it at once, and buckets are evenly used.
template <class T>
selection_threshold<T> threshold_of(const T* column, std::size_t count, std::size_t rank,
                                    const selection_scratch<T>& scratch) {
  constexpr int most_digit_bits = 11, key_bits = 8 * static_cast<int>(sizeof(T));
  constexpr std::size_t few = 48;
  using key = typename selection_scratch<T>::key;
  std::array<std::uint32_t, std::size_t{1} << most_digit_bits> counters;
  // Keeps the keys that at(i) gives in whose digit the rank-th largest lies; 0: all are equal to the first.
  const auto narrow = [&](std::size_t n, auto at) -> std::size_t {
    key any = at(0), every = at(0);
    for (std::size_t i = 0; i < n; ++i) any |= at(i), every &= at(i);
    const int differing = key_bits - std::countl_zero(any ^ every);
    if (differing == 0) return 0;
    const int digit_bits = n <= 1024 ? 8 : most_digit_bits, shift = std::max(0, differing - digit_bits);
    const std::size_t buckets = std::size_t{1} << std::min(digit_bits, differing);
    const auto digit_of = [&](key k) { return static_cast<std::size_t>(k >> shift) % buckets; };
    std::fill_n(counters.begin(), buckets, 0u);
    for (std::size_t i = 0; i < n; ++i) ++counters[digit_of(at(i))];
    std::size_t digit = buckets - 1;
    for (; counters[digit] < rank; --digit) rank -= counters[digit];
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const key candidate = at(i);
      scratch.candidates[kept] = candidate;
      kept += digit_of(candidate) == digit ? 1 : 0;
    }
    return kept;
  };
  std::size_t n = narrow(count, [&](std::size_t i) { return selection_key(column[i]); });
  if (n == 0) return {selection_key(column[0]), rank};
  while (n > few) {
    const std::size_t kept = narrow(n, [&](std::size_t i) { return scratch.candidates[i]; });
    if (kept == 0) return {scratch.candidates[0], rank};
    n = kept;
  }
  key* const end = scratch.candidates + n;
  std::sort(scratch.candidates, end, std::greater<>());
  const key threshold = scratch.candidates[rank - 1];
  const key* const first = std::lower_bound(scratch.candidates, end, threshold, std::greater<>());
  return {threshold, rank - static_cast<std::size_t>(first - scratch.candidates)};
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
