#pragma once

#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>

namespace distill::inline DISTILL_ABI {

/// Parameters of softmax, log_softmax, log_sum_exp and their gradients; the last argument of each.
struct softmax_options {
  /// Divides the logits: finite, > 0.
  double temperature = 1;
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once: per thread one row of the
  /// compute type, and a copy of each row that is strided or 16 bits wide.
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
