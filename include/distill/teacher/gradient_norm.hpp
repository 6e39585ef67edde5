#pragma once

#include <distill/teacher/row_statistics_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The last argument of gradient_norm.
struct gradient_norm_options {
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once: 8 bytes a row, and a row of
  /// the compute type per thread where rows are strided or 16 bits wide.
  distill::workspace* workspace = nullptr;
};

namespace detail {
double evaluate_gradient_norm(const input_matrix& gradient, const gradient_norm_options& options);
}

/// The Euclidean length of all entries of a matrix: how large the gradient of a loss term is.
///
/// Shapes: any, any strides and element type.
/// Throws: shape_error, layout_error.
/// Special values: not finite where an entry is not. Squares never overflow or vanish.
/// Accuracy: relative error below 5e-7 for float and 16 bits, 1e-14 for double.
/// Cost: one pass. The bits do not depend on the executor.
template <class Gradient>
double gradient_norm(Gradient&& gradient, const gradient_norm_options& options = {}) {
  return detail::evaluate_gradient_norm(detail::input_matrix(as_view(std::forward<Gradient>(gradient))),
                                        options);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/gradient_norm-inl.hpp>
#endif
