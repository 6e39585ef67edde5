#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace fashion_mnist {

// The engine's sequence is fixed by the standard, the distributions of <random> are not; with these the same
// seed draws the same numbers under every standard library.
using random_engine = std::mt19937_64;

/// Uniform in [0, 1), 24 random bits.
inline float uniform(random_engine& engine) { return static_cast<float>(engine() >> 40) * 0x1p-24F; }

/// Uniform in {0, ..., count - 1}, up to a bias of count / 2^64.
inline std::uint64_t below(random_engine& engine, std::uint64_t count) { return engine() % count; }

inline void shuffle(std::vector<Eigen::Index>& values, random_engine& engine) {
  for (std::size_t remaining = values.size(); remaining > 1; --remaining) {
    std::swap(values[remaining - 1], values[below(engine, remaining)]);
  }
}

}  // namespace fashion_mnist
