// Definitions of router_z_loss.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/execution/row_blocks-inl.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <distill/moe/router_z_loss.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline double z_slope(double coefficient, std::int64_t tokens, const balance_options& options) {
  require_finite("router_z_loss", "coefficient", coefficient);
  require_denominator("router_z_loss", options);
  require_token_count("router_z_loss", "tokens", tokens);
  return tokens == 0 ? 0 : coefficient / options.denominator.value_or(static_cast<double>(tokens));
}

inline bool is_finite_row(const input_matrix& m, std::size_t row) {
  return with_elements(m, [&](const auto& view) {
    bool finite = true;
    for (std::size_t i = 0; i < view.columns(); ++i)
      finite = finite && std::isfinite(as_double(view(row, i)));
    return finite;
  });
}

// Rows that do not count become 0, or are left as they are where the gradient is added to.
inline void finish_z_gradient(const output_matrix& gradient, const output_matrix& made,
                              const double* log_sums, bool accumulate) {
  with_elements(gradient, [&](const auto& out) {
    for (std::size_t t = 0; t < out.rows(); ++t) {
      const bool counts = !std::isnan(log_sums[t]);
      for (std::size_t i = 0; i < out.columns(); ++i) {
        if (!counts && !accumulate) assign_double(out(t, i), 0);
        if (!counts || !accumulate) continue;
        with_elements(made, [&](const auto& from) {
          assign_double(out(t, i), as_double(out(t, i)) + as_double(from(t, i)));
        });
      }
    }
  });
}

}  // namespace detail

DISTILL_INLINE double router_z_loss::slope(const router_statistics& statistics,
                                           const balance_options& options) const {
  return detail::z_slope(coefficient, statistics.tokens, options);
}

DISTILL_INLINE double router_z_loss::operator()(const router_statistics& statistics,
                                                const balance_options& options) const {
  const double factor = slope(statistics, options);
  return factor == 0 ? 0 : factor * statistics.squared_log_sum_exp;
}

DISTILL_INLINE double router_z_loss::evaluate_logits(const detail::input_matrix& logits,
                                                     const detail::output_matrix& gradient,
                                                     const balance_options& options,
                                                     const token_options& tokens, workspace* memory) const {
  const char* const name = "router_z_loss";
  detail::z_slope(coefficient, 0, options);
  detail::require_scores(name, "logits", logits);
  detail::require_gradient(name, "gradient", gradient, "logits", logits);
  if (detail::intersect(detail::bytes_of(logits), detail::bytes_of(gradient)) && logits.rows > 0)
    throw layout_error(std::string(name) + ": gradient overlaps logits");
  detail::require_mask(name, tokens, "logits", logits.rows);
  if (logits.rows == 0) return 0;
  const bool in_double = logits.type == element_type::float64;
  const std::size_t row_bytes = logits.columns * (in_double ? 8 : 4);
  const std::size_t values = detail::round_up_to_line(logits.rows * sizeof(double));
  workspace own;
  std::byte* const base = (memory != nullptr ? *memory : own)
                              .require(2 * values + (tokens.accumulate ? logits.rows * row_bytes : 0));
  auto* const log_sums = reinterpret_cast<double*>(base);
  auto* const upstream = reinterpret_cast<double*>(base + values);
  const auto column = [&](double* data) { return matrix_view<double>(data, logits.rows, 1); };
  const softmax_options rows{.executor = tokens.executor};
  detail::evaluate_softmax(detail::softmax_kind::log_sum_exp, logits, {}, column(log_sums), rows);
  std::int64_t counted = 0;
  double squares = 0;
  for (std::size_t t = 0; t < logits.rows; ++t) {
    const bool counts = detail::is_counted(tokens, t) && detail::is_finite_row(logits, t);
    log_sums[t] = counts ? log_sums[t] : std::nan("");
    if (!counts) continue;
    ++counted;
    squares += log_sums[t] * log_sums[t];
  }
  const double factor = detail::z_slope(coefficient, counted, options);
  for (std::size_t t = 0; t < logits.rows; ++t)
    upstream[t] = std::isnan(log_sums[t]) ? 0 : 2 * factor * log_sums[t];
  detail::output_matrix made = gradient;
  if (tokens.accumulate) {
    made.data = base + 2 * values;
    made.row_stride = static_cast<std::ptrdiff_t>(logits.columns), made.column_stride = 1;
    made.type = in_double ? element_type::float64 : element_type::float32;
  }
  detail::evaluate_softmax(detail::softmax_kind::log_sum_exp_backward, logits,
                           matrix_view<const double>(column(upstream)), made, rows);
  detail::finish_z_gradient(gradient, made, log_sums, tokens.accumulate);
  return counted == 0 ? 0 : factor * squares;
}

}  // namespace distill::inline DISTILL_ABI
