#pragma once

#include <distill/numeric/softmax_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The probabilities of each row: p = exp(z / T) / Σ exp(z / T).
///
/// Shapes: logits and output [rows, classes], any strides. The output's elements are the logits' type, or
/// float for 16-bit logits. The output may be exactly the logits, not overlap them in part. Throws:
/// shape_error, parameter_error, layout_error, before anything is written. Special values: a logit of -inf
/// has probability 0; a row with NaN or +inf, or of -inf only, becomes NaN. Accuracy: relative error below (5
/// + 1.5 (max - z) / T) 1e-7 for float and 16-bit logits, plus the rounding of a 16-bit output; probabilities
/// below float's smallest normal number may be 0. 1e-15 instead of 1e-7 for double. A row sums to 1 within
/// 6e-7 (`tests/numeric/softmax_oracle_test.cpp`). Cost: one exponential per logit, one pass over the logits
/// and one over the output, overlapped. The bits do not depend on the executor.
template <class Logits, class Output>
void softmax(Logits&& logits, Output&& output, const softmax_options& options = {}) {
  detail::evaluate_softmax(detail::softmax_kind::softmax, as_view(std::forward<Logits>(logits)), {},
                           detail::written_to(std::forward<Output>(output)), options);
}

/// gradient = p (u - Σ p u) / T: what softmax passes back to its logits, from its own output p and upstream
/// u.
///
/// Shapes: probabilities, upstream and gradient [rows, classes], any strides; upstream may have another
/// element type. The gradient's elements are the probabilities' type, or float for 16 bits; it may be exactly
/// the probabilities or the upstream. Throws: shape_error, parameter_error, layout_error, before anything is
/// written. NaN passes through its row. Accuracy: error below 1e-6 p max|u| / T in float. Cost: two passes.
template <class Probabilities, class Upstream, class Gradient>
void softmax_backward(Probabilities&& probabilities, Upstream&& upstream, Gradient&& gradient,
                      const softmax_options& options = {}) {
  detail::evaluate_softmax(detail::softmax_kind::softmax_backward,
                           as_view(std::forward<Probabilities>(probabilities)),
                           as_view(std::forward<Upstream>(upstream)),
                           detail::written_to(std::forward<Gradient>(gradient)), options);
}

}  // namespace distill::inline DISTILL_ABI
