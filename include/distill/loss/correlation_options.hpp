#pragma once

#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// How a batch enters `correlation`; its last argument.
struct correlation_options {
  /// [rows] a row of mask 0 is left out of both parts: never read, its gradient written as 0. Any other
  /// number keeps it in. Empty: every row is in.
  vector_view<const float> row_mask = {};
  /// Multiplies value and gradient (finite).
  double weight = 1;
  /// Add to the gradient buffer instead of overwriting it.
  bool accumulate = false;
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once.
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
