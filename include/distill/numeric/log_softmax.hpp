#pragma once

#include <distill/numeric/softmax_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The log-probabilities of each row: z / T - log Σ exp(z / T), natural.
///
/// Shapes: logits and output [rows, classes], any strides. The output's elements are the logits' type, or
/// float for 16-bit logits. The output may be exactly the logits, not overlap them in part. Throws:
/// shape_error, parameter_error, layout_error, before anything is written. Special values: a logit of -inf
/// gives -inf; a row with NaN or +inf, or of -inf only, becomes NaN. Accuracy: error below 5e-7 max(1,
/// |value|) for float and 16-bit logits, plus the rounding of a 16-bit output; 5e-15 max(1, |value|) for
/// double (`tests/numeric/softmax_oracle_test.cpp`). Small differences of large logits keep their digits,
/// which log(softmax(z)) loses. Cost: one exponential per logit, the logits read twice. The bits do not
/// depend on the executor.
template <class Logits, class Output>
void log_softmax(Logits&& logits, Output&& output, const softmax_options& options = {}) {
  detail::evaluate_softmax(detail::softmax_kind::log_softmax, as_view(std::forward<Logits>(logits)), {},
                           detail::written_to(std::forward<Output>(output)), options);
}

/// gradient = (u - exp(l) Σ u) / T: what log_softmax passes back to its logits, from its own output l and
/// upstream u.
///
/// Shapes: log_probabilities, upstream and gradient [rows, classes], any strides; upstream may have another
/// element type. The gradient's elements are the log-probabilities' type, or float for 16 bits; it may be
/// exactly either input. Throws: shape_error, parameter_error, layout_error, before anything is written. NaN
/// passes through its row. Accuracy: error below 1e-6 (|u| + (1 + |l|) p Σ|u|) / T in float. Cost: two
/// passes, one exponential per class.
template <class LogProbabilities, class Upstream, class Gradient>
void log_softmax_backward(LogProbabilities&& log_probabilities, Upstream&& upstream, Gradient&& gradient,
                          const softmax_options& options = {}) {
  detail::evaluate_softmax(detail::softmax_kind::log_softmax_backward,
                           as_view(std::forward<LogProbabilities>(log_probabilities)),
                           as_view(std::forward<Upstream>(upstream)),
                           detail::written_to(std::forward<Gradient>(gradient)), options);
}

}  // namespace distill::inline DISTILL_ABI
