#pragma once

#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class batch_step {
  gather,       // a[i] = row rows[i] of source; runs over i
  center,       // columns of a minus their means; runs over columns
  distances,    // a[i, j] from ⟨x_i, x_j⟩ to ‖x_i - x_j‖² , or its root with `roots`; row_sums
  reciprocals,  // b = 1 / √a, 0 where a is 0
  huber,  // of a / scale_a - b / scale_b: values in row_sums, slopes to b, their products with a in row_dots
  pair_slopes,     // b = slopes of the distances a to the matrix that multiplies the rows
  angles,          // c = slopes of the squared distances a; values in row_sums
  symmetrize,      // a += its transpose; runs over tiles of tile_rows rows
  to_differences,  // a[i, j] becomes -factor a[i, j], a[i, i] the factor times the sum of its row
  scatter          // row rows[i] of gradient (+)= a[i]; runs over the rows of the gradient
};

/// One step of a loss on a batch, already checked. Matrices are compact [count, columns] of the type.
struct batch_job {
  static constexpr std::size_t tile_rows = 32;

  batch_step step = batch_step::gather;
  element_type type = element_type::float32;
  std::size_t count = 0, columns = 0;
  input_matrix source;
  output_matrix gradient;
  const std::size_t* rows = nullptr;  // gather, scatter: null, all of them
  void *a = nullptr, *b = nullptr, *c = nullptr, *e = nullptr;
  const void* points = nullptr;   // [count, width]
  const void* squares = nullptr;  // [count] ‖x_i‖²
  std::size_t width = 0;
  double *row_sums = nullptr, *row_dots = nullptr;
  double scale_a = 1, scale_b = 1, factor = 1, shift = 0;
  bool roots = false, accumulate = false;
};

}  // namespace distill::inline DISTILL_ABI::detail
