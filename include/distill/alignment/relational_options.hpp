#pragma once

#include <distill/alignment/matrix_product.hpp>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// How a batch enters a loss on the relations between its rows; the last argument of each of them.
struct relational_options {
  /// Multiplies matrices: `eigen_product{}` of `interop/eigen.hpp`, or the caller's own.
  matrix_product_ref product;
  /// [rows] a row of mask 0 is left out of the batch: never read, its gradient written as 0. Empty: every row
  /// is in.
  vector_view<const float> row_mask = {};
  /// Multiplies value and gradient (finite).
  double weight = 1;
  /// Add to the gradient buffer instead of overwriting it.
  bool accumulate = false;
  /// Runs everything but the products.
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once.
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
