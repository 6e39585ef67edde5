#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <distill/version.hpp>

namespace distill::inline DISTILL_ABI {

/// Four random words as a function of a counter and a key: Philox4x32 with 10 rounds. No state, so any word
/// can be computed by whoever needs it, in any order.
///
/// Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3; the
/// known answers of its authors are tested in `tests/numeric/philox_test.cpp`.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                              std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xd2511f53u} * counter[0],
                        b = std::uint64_t{0xcd9e8d57u} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9e3779b9u, key[1] + 0xbb67ae85u};
  }
  return counter;
}

/// Random matrices that exist without being stored: an element is a function of (seed, step, row, column).
///
/// Rows count modulo 2³², columns up to 2³². uniform and normal of the same element are independent. Cost:
/// ten rounds of two multiplications, and for `normal` a logarithm, a root and a cosine of the standard
/// library.
struct random_stream {
  std::uint64_t seed = 0, step = 0;

  /// In (0, 1), a multiple of 2⁻³³.
  constexpr double uniform(std::size_t row, std::size_t column) const {
    return fraction(words(row, column)[0]);
  }
  /// Standard normal, at most 6.8 in size (Box-Muller).
  double normal(std::size_t row, std::size_t column) const {
    const auto word = words(row, column);
    return std::sqrt(-2 * std::log(fraction(word[1]))) * std::cos(6.283185307179586477 * fraction(word[2]));
  }
  bool operator==(const random_stream&) const = default;

 private:
  static constexpr double fraction(std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }
  constexpr std::array<std::uint32_t, 4> words(std::size_t row, std::size_t column) const {
    return philox({static_cast<std::uint32_t>(column), static_cast<std::uint32_t>(row),
                   static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)},
                  {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  }
};

}  // namespace distill::inline DISTILL_ABI
