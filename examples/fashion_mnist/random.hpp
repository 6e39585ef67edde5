#pragma once

#include <cstdint>
#include <distill/numeric/philox.hpp>
#include <random>

namespace fashion_mnist {

// The engine's sequence is fixed by the standard, the distributions of <random> are not; with these the same
// seed draws the same numbers under every standard library.
using random_engine = std::mt19937_64;

/// The engine of one training step: a function of seed and step, so that nothing has to be remembered between
/// steps.
inline random_engine engine_of(std::uint64_t seed, std::int64_t step) {
  const auto counter = static_cast<std::uint64_t>(step);
  const auto words =
      distill::philox({static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0},
                      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return random_engine(std::uint64_t{words[0]} << 32 | words[1]);
}

/// Uniform in [0, 1), 24 random bits.
inline float uniform(random_engine& engine) { return static_cast<float>(engine() >> 40) * 0x1p-24F; }

}  // namespace fashion_mnist
