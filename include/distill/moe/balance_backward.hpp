#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {
void balance_backward(const input_matrix& scores, matrix_view<const double> slopes,
                      const output_matrix& gradient, const token_options& tokens);
}  // namespace detail

/// The gradient of balance losses with respect to the router's logits, without the gate: from slopes
/// dLoss/dp.
///
/// Softmax scores p: dz_j = p_j (a_j - Σ_i a_i p_i). Sigmoid scores s, p = s / Σ s: dz_j = s_j (1 - s_j)
/// (a_j - Σ_i a_i p_i) / Σ s. a: the slopes, of the token's sequence where they are a matrix.
/// Shapes: scores and gradient [tokens, experts], any strides; slopes [experts] or [sequences, experts],
/// where the tokens are `tokens / sequences` consecutive rows for each sequence. The gradient's elements are
/// the scores' type, or float for 16 bits; it may be exactly the scores' memory, unless it is added to.
/// Options: `token_options`.
/// Throws: shape_error, layout_error, before anything is written.
/// Special values: a token with a score that is not finite has gradient 0; so has one whose sigmoids are all
/// 0. Accuracy: in double, rounded once. Cost: two passes, no exponentials, no allocation. The bits do not
/// depend on the executor.
template <class Scores, class Gradient>
void balance_backward(Scores&& scores, vector_view<const double> slopes, Gradient&& gradient,
                      const token_options& tokens = {}) {
  const matrix_view<const double> one(slopes.data_handle(), 1, slopes.size(), 0, slopes.stride());
  detail::balance_backward(as_view(std::forward<Scores>(scores)), one,
                           detail::written_to(std::forward<Gradient>(gradient)), tokens);
}
template <class Scores, class Gradient>
void balance_backward(Scores&& scores, matrix_view<const double> slopes, Gradient&& gradient,
                      const token_options& tokens = {}) {
  detail::balance_backward(as_view(std::forward<Scores>(scores)), slopes,
                           detail::written_to(std::forward<Gradient>(gradient)), tokens);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/balance_backward-inl.hpp>
#endif
