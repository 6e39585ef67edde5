#pragma once

#include <distill/dispatch.hpp>
#include <string>

namespace support {

/// Gives the choice of the SIMD target back when a test ends.
struct restored_target {
  ~restored_target() { distill::force_target(""); }
};

template <class F>
void on_every_target(F f) {
  const restored_target restore;
  for (const std::string& target : distill::available_targets()) {
    distill::force_target(target);
    f(target);
  }
}

}  // namespace support
