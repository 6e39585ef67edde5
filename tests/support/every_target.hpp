#pragma once

#include <catch2/catch.hpp>
#include <distill/dispatch.hpp>
#include <string>
#include <type_traits>

namespace support {

/// Gives the choice of the SIMD target back when a test ends.
struct restored_target {
  ~restored_target() { distill::force_target(""); }
};

/// Calls f, with the target's name if it takes one, on each SIMD target of this processor.
template <class F>
void on_every_target(F f) {
  const restored_target restore;
  for (const std::string& target : distill::available_targets()) {
    distill::force_target(target);
    INFO("target " << target);
    REQUIRE(distill::active_target() == target);
    if constexpr (std::is_invocable_v<F, const std::string&>)
      f(target);
    else
      f();
  }
}

}  // namespace support
