#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <distill/version.hpp>
#include <initializer_list>

namespace distill::inline DISTILL_ABI::detail {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits that spreads every bit.
constexpr std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// 64 bits that depend on the seed and where they are used, and on nothing else: no state, any order, any
/// thread.
constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0,
                                    std::uint64_t c = 0) {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;
  std::uint64_t x = mixed(seed + golden);
  for (const std::uint64_t part : {a, b, c}) x = mixed((x ^ part) + golden);
  return x;
}

/// Uniform in [0, 1), 53 bits.
constexpr double unit_interval(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

/// Uniform in [0, count), count > 0: the upper half of a product, whose bias is at most count / 2^64.
constexpr std::uint64_t below(std::uint64_t bits, std::uint64_t count) {
  const std::uint64_t high = bits >> 32, low = bits & 0xffffffff;
  const std::uint64_t count_high = count >> 32, count_low = count & 0xffffffff;
  const std::uint64_t middle = high * count_low + (low * count_low >> 32);
  return high * count_high + (middle >> 32) + ((low * count_high + (middle & 0xffffffff)) >> 32);
}

/// Where `index` goes in a permutation of [0, count) that the key picks. Up to 32, by shuffling; above, by a
/// Feistel network over the smallest even number of bits that holds count, walked until it lands inside: at
/// most about 4 walks on average, and no memory. With fewer bits than that the network's permutations are
/// measurably uneven.
constexpr std::uint64_t permuted(std::uint64_t index, std::uint64_t count, std::uint64_t key) {
  if (count <= 32) {
    std::array<std::uint8_t, 32> places = {};
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t other = below(random_bits(key, i), i + 1);
      places[i] = places[other];
      places[other] = static_cast<std::uint8_t>(i);
    }
    return places[index];
  }
  const int half = (std::bit_width(count - 1) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  do {
    std::uint64_t left = index >> half, right = index & mask;
    for (std::uint64_t round = 0; round < 8; ++round) {
      const std::uint64_t next = left ^ (random_bits(key, round, right) >> 32 & mask);
      left = right;
      right = next;
    }
    index = left << half | right;
  } while (index >= count);
  return index;
}

}  // namespace distill::inline DISTILL_ABI::detail
