#pragma once

#include <distill/execution/executor.hpp>
#include <distill/moe/expert_order.hpp>
#include <distill/moe/token_exchange_job.hpp>
#include <distill/view/written_to.hpp>

namespace distill::inline DISTILL_ABI {

/// Parameters of dispatch_tokens, combine_tokens and their gradients; the last argument of each.
struct exchange_options {
  /// Add to the tokens' matrix that is written (combine_tokens, dispatch_tokens_backward) instead of
  /// replacing it.
  bool accumulate = false;
  executor_ref executor = {};
};

/// In the place of a gradient that is not wanted.
struct no_exchange_gradient_t {};
inline constexpr no_exchange_gradient_t no_exchange_gradient{};

namespace detail {

void dispatch_tokens(const input_matrix& tokens, const expert_order& order, const output_matrix& expert_rows,
                     std::size_t element_bytes, const exchange_options& options);
void combine_tokens(const char* function, const input_matrix& expert_rows, const input_matrix& weights,
                    const expert_order& order, const output_matrix& tokens, const exchange_options& options);
void combine_tokens_backward(const input_matrix& token_gradient, const input_matrix& expert_rows,
                             const input_matrix& weights, const expert_order& order,
                             const output_matrix& row_gradient, const output_matrix& weight_gradient,
                             const exchange_options& options);

template <class X>
output_matrix exchanged_to(X&& x) {
  if constexpr (std::is_same_v<std::remove_cvref_t<X>, no_exchange_gradient_t>)
    return {};
  else
    return written_to(std::forward<X>(x));
}

// Elements that are only copied: a matrix of any of the four types, or integers such as 8-bit codes.
template <class Void, class X>
untyped_matrix<Void> copied_matrix(X&& x, std::size_t& element_bytes) {
  const auto untyped = [&](const auto& view) {
    untyped_matrix<Void> m;
    m.data = view.data_handle();
    m.rows = view.rows(), m.columns = view.columns();
    m.row_stride = view.stride(0), m.column_stride = view.stride(1);
    element_bytes = sizeof(*view.data_handle());
    return m;
  };
  if constexpr (is_matrix_view<std::remove_cvref_t<X>>)
    return untyped(x);
  else
    return untyped(as_view(std::forward<X>(x)));
}

template <class X>
using copied_element = std::remove_cvref_t<decltype(*[](auto&& x) {
  if constexpr (is_matrix_view<std::remove_cvref_t<X>>)
    return x.data_handle();
  else
    return as_view(std::forward<X>(x)).data_handle();
}(std::declval<X>()))>;

}  // namespace detail

/// expert_rows[order.rows(t, j)] = tokens[t]: every token's row to each of its experts, in expert order; rows
/// that only pad become 0.
///
/// Shapes: tokens [tokens, width], expert_rows [rows or more, width], any strides, the same element type: any
/// of the four, or matrix_views of an integer type. order.rows is needed, and order.tokens where there is
/// padding. Rows beyond the order's are left as they are. Throws: shape_error, layout_error, data_error for a
/// row outside; before anything is written. Accuracy: exact. Cost: each token is read once and written k
/// times, past the caches if that is much. The bits do not depend on the executor.
template <class Tokens, class Rows>
void dispatch_tokens(Tokens&& tokens, const expert_order& order, Rows&& expert_rows,
                     const exchange_options& options = {}) {
  static_assert(std::is_same_v<detail::copied_element<Tokens>, detail::copied_element<Rows>>,
                "distill: dispatch_tokens copies, so both matrices have the same elements");
  std::size_t element_bytes = 0;
  const auto from = detail::copied_matrix<const void>(std::forward<Tokens>(tokens), element_bytes);
  const auto to = detail::copied_matrix<void>(std::forward<Rows>(expert_rows), element_bytes);
  detail::dispatch_tokens(from, order, to, element_bytes, options);
}

/// token_gradient[t] = Σ_j row_gradient[order.rows(t, j)]: what dispatch_tokens passes back. The sum goes
/// over the slots in ascending order; a token without experts gets 0, or nothing if accumulated.
///
/// Shapes, errors, accuracy, cost: those of combine_tokens with weights of 1.
template <class RowGradient, class TokenGradient>
void dispatch_tokens_backward(RowGradient&& row_gradient, const expert_order& order,
                              TokenGradient&& token_gradient, const exchange_options& options = {}) {
  detail::combine_tokens("dispatch_tokens_backward", as_view(std::forward<RowGradient>(row_gradient)), {},
                         order, detail::exchanged_to(std::forward<TokenGradient>(token_gradient)), options);
}

/// tokens[t] = Σ_j weights(t, j) expert_rows[order.rows(t, j)]: the experts' answers back to where they came
/// from. The sum goes over the slots in ascending order; a token without experts gets 0, or nothing if
/// accumulated.
///
/// Shapes: expert_rows [rows or more, width], weights [tokens, k] of float or double, tokens [tokens, width],
/// any strides. The tokens' elements are the rows' type, or float for 16-bit rows. Only order.rows and
/// order.offsets are used. Throws: shape_error, layout_error (missing memory, an output that overlaps
/// anything), data_error for a row outside; before anything is written. NaN and infinities pass through as in
/// the formula; a row of no assignment is not read. Accuracy: in float, or double for double rows, with fused
/// or separate multiplication: error below (k + 1) 2⁻²⁴ Σ |weight row|, plus the rounding of a 16-bit output
/// (`tests/moe/token_exchange_test.cpp`); double weights are rounded to float beside float rows. Cost: one
/// pass over the rows and the tokens, fast where a row is contiguous: from memory 1.4 times the time of a
/// sequential read. The bits do not depend on the executor.
template <class Rows, class Weights, class Tokens>
void combine_tokens(Rows&& expert_rows, Weights&& weights, const expert_order& order, Tokens&& tokens,
                    const exchange_options& options = {}) {
  detail::combine_tokens("combine_tokens", as_view(std::forward<Rows>(expert_rows)),
                         as_view(std::forward<Weights>(weights)), order,
                         detail::exchanged_to(std::forward<Tokens>(tokens)), options);
}

/// What combine_tokens passes back, from the gradient dy of its tokens:
/// row_gradient[order.rows(t, j)] = weights(t, j) dy[t], and weight_gradient(t, j) = Σ_c dy(t, c)
/// expert_rows(row, c).
///
/// Shapes: as in combine_tokens; row_gradient has the elements of expert_rows and may be exactly the same
/// memory, weight_gradient [tokens, k] is float or double. Either may be no_exchange_gradient. Padding rows
/// get 0 where order.tokens are given, an assignment to no_expert a weight gradient of 0. Both are written,
/// never accumulated: options.accumulate is a parameter_error. Accuracy: rows one rounding; weights relative
/// to Σ |dy row| below 1.5e-6 in float (sums of at most 64 vectors, carried in double), 1e-14 in double
/// (`tests/moe/token_exchange_test.cpp`). Cost: one pass over everything.
template <class TokenGradient, class Rows, class Weights, class RowGradient, class WeightGradient>
void combine_tokens_backward(TokenGradient&& token_gradient, Rows&& expert_rows, Weights&& weights,
                             const expert_order& order, RowGradient&& row_gradient,
                             WeightGradient&& weight_gradient, const exchange_options& options = {}) {
  detail::combine_tokens_backward(
      as_view(std::forward<TokenGradient>(token_gradient)), as_view(std::forward<Rows>(expert_rows)),
      as_view(std::forward<Weights>(weights)), order,
      detail::exchanged_to(std::forward<RowGradient>(row_gradient)),
      detail::exchanged_to(std::forward<WeightGradient>(weight_gradient)), options);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/token_exchange-inl.hpp>
#endif
