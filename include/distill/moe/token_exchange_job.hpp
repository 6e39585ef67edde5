#pragma once

#include <cstdint>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class exchange_kind { dispatch, combine, combine_backward };

/// Everything a kernel needs for a range of tokens, already checked.
struct exchange_job {
  exchange_kind kind = exchange_kind::dispatch;
  matrix_view<const std::int64_t> rows;  // [tokens, k] the expert row of each assignment, or -1
  input_matrix weights;                  // [tokens, k] float or double; without memory: 1
  input_matrix from;                     // what is read: tokens to dispatch, or rows of the experts
  input_matrix upstream;                 // combine_backward: of the combined tokens
  output_matrix to;                      // what is written: rows, combined tokens, or the gradient of rows
  output_matrix weight_gradient;         // combine_backward
  std::size_t element_bytes = 0;         // dispatch
  bool accumulate = false;
  bool bypass_cache = false;  // what is written is too large to be worth caching

  std::size_t width() const { return from.columns; }
};

}  // namespace distill::inline DISTILL_ABI::detail
