#pragma once

#include <cstddef>
#include <distill/version.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// [0, count) cut into units of multiples of `grain`, a few for each thread, so that a thread that is held up
/// leaves little behind.
struct units {
  std::size_t count, size, number;

  units(std::size_t total, std::size_t grain, std::size_t threads) : count(total) {
    constexpr std::size_t units_per_thread = 8;
    if (grain == 0) grain = 1;
    const std::size_t most = threads * units_per_thread;
    const std::size_t grains = total / grain + (total % grain != 0 ? 1 : 0);
    size = (grains / most + (grains % most != 0 ? 1 : 0)) * grain;
    number = size == 0 ? 0 : total / size + (total % size != 0 ? 1 : 0);
  }

  std::size_t begin(std::size_t unit) const { return unit < number ? unit * size : count; }
};

}  // namespace distill::inline DISTILL_ABI::detail
