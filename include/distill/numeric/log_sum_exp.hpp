#pragma once

#include <distill/numeric/softmax_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The logarithm of the sum of exponentials of each row: log Σ exp(z / T), natural.
///
/// Shapes: logits [rows, classes], any strides; output [rows], a vector of double or float.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Special values: a logit of -inf contributes 0; NaN, +inf or a row of -inf gives NaN.
/// Accuracy: error below 3e-7 max(1, |value|, log classes) for float and 16-bit logits, 3e-15 for double
/// (`tests/numeric/softmax_oracle_test.cpp`).
/// Cost: one pass, one exponential per logit. The bits do not depend on the executor.
template <class Logits, class Output>
void log_sum_exp(Logits&& logits, Output&& output, const softmax_options& options = {}) {
  detail::evaluate_softmax(detail::softmax_kind::log_sum_exp, as_view(std::forward<Logits>(logits)), {},
                           detail::column_of<Output, double, float>(std::forward<Output>(output)), options);
}

/// gradient = upstream softmax(z / T) / T: what log_sum_exp passes back to its logits.
///
/// Shapes: logits and gradient [rows, classes], upstream [rows] of double or float. The gradient's elements
/// are the logits' type, or float for 16-bit logits; it may be exactly the logits, not overlap them in part.
/// Throws and special values: as log_sum_exp; a row without a softmax gets NaN.
/// Accuracy and cost: as softmax.
template <class Logits, class Upstream, class Gradient>
void log_sum_exp_backward(Logits&& logits, Upstream&& upstream, Gradient&& gradient,
                          const softmax_options& options = {}) {
  detail::evaluate_softmax(
      detail::softmax_kind::log_sum_exp_backward, as_view(std::forward<Logits>(logits)),
      detail::column_of<Upstream, const double, const float>(std::forward<Upstream>(upstream)),
      detail::written_to(std::forward<Gradient>(gradient)), options);
}

}  // namespace distill::inline DISTILL_ABI
