// Definitions of load_loss.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/largest_scores-inl.hpp>
#include <distill/moe/load_loss.hpp>
#include <distill/moe/squared_variation-inl.hpp>
#include <numbers>

namespace distill::inline DISTILL_ABI {

namespace detail {

struct noisy_token {
  std::vector<double> clean, noisy, deviation;
  largest_scores largest;
  bool is_finite = false;

  noisy_token(std::size_t experts, std::size_t k)
      : clean(experts), noisy(experts), deviation(experts), largest(k + 1) {}

  void read(const noisy_logits& logits, std::size_t token) {
    const auto copy = [&](const input_matrix& m, std::vector<double>& out) {
      with_elements(m, [&](const auto& view) {
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = as_double(view(token, i));
      });
    };
    copy(logits.clean(), clean);
    copy(logits.noisy(), noisy);
    if (logits.has_deviation_matrix())
      copy(logits.deviation(), deviation);
    else
      deviation.assign(deviation.size(), logits.constant_deviation());
    is_finite = true;
    for (std::size_t i = 0; i < clean.size(); ++i)
      is_finite = is_finite && std::isfinite(clean[i]) && std::isfinite(noisy[i]) &&
                  std::isfinite(deviation[i]) && deviation[i] > 0;
    if (!is_finite) return;
    largest.clear();
    for (std::size_t i = 0; i < noisy.size(); ++i) largest.add(noisy[i], i);
  }
  // The expert whose noisy logit expert i must exceed to be chosen; none if k is all of them.
  std::size_t rival_of(std::size_t i, std::size_t k) const {
    for (std::size_t rank = 0; rank < k; ++rank)
      if (largest[rank].index == i) return k < noisy.size() ? largest[k].index : noisy.size();
    return largest[k - 1].index;
  }
};

inline void check_noisy(const char* name, const noisy_logits& logits, std::int64_t k,
                        const token_options& tokens) {
  require_scores(name, "clean", logits.clean());
  const input_matrix& clean = logits.clean();
  require_experts_per_token(name, k, clean.columns);
  const auto same = [&](const char* what, const input_matrix& m) {
    require_extent(name, what, m.rows, "tokens", "clean", clean.rows);
    require_extent(name, what, m.columns, "experts", "clean", clean.columns);
    require_memory(name, what, m);
  };
  same("noisy", logits.noisy());
  if (logits.has_deviation_matrix())
    same("deviation", logits.deviation());
  else if (!(std::isfinite(logits.constant_deviation()) && logits.constant_deviation() > 0))
    throw_parameter(name, "deviation", "finite and > 0", text_of(logits.constant_deviation()));
  require_mask(name, tokens, "clean", clean.rows);
}

// The slopes of one token's clean logits and deviations.
inline void smooth_load_slopes(const noisy_token& token, std::size_t k, vector_view<const double> slopes,
                               bool through_threshold, std::vector<double>& of_clean,
                               std::vector<double>& of_deviation) {
  const std::size_t experts = token.clean.size();
  of_clean.assign(experts, 0);
  of_deviation.assign(experts, 0);
  const double normal = 1 / std::sqrt(2 * std::numbers::pi);
  for (std::size_t i = 0; i < experts; ++i) {
    const std::size_t rival = token.rival_of(i, k);
    if (rival == experts) continue;
    const double sigma = token.deviation[i], x = (token.clean[i] - token.noisy[rival]) / sigma;
    const double slope = slopes[i] * normal * std::exp(-x * x / 2) / sigma;
    of_clean[i] += slope;
    of_deviation[i] -= slope * x;
    if (!through_threshold) continue;
    of_clean[rival] -= slope;
    of_deviation[rival] -= slope * (token.noisy[rival] - token.clean[rival]) / token.deviation[rival];
  }
}

inline void write_row(const output_matrix& m, std::size_t row, const std::vector<double>& values,
                      bool accumulate) {
  with_elements(m, [&](const auto& view) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      auto& out = view(row, i);
      assign_double(out, accumulate ? as_double(out) + values[i] : values[i]);
    }
  });
}

}  // namespace detail

DISTILL_INLINE std::int64_t smooth_load::operator()(const noisy_logits& logits, vector_view<double> loads,
                                                    const token_options& tokens) const {
  const char* const name = "smooth_load";
  detail::check_noisy(name, logits, experts_per_token, tokens);
  const std::size_t experts = logits.clean().columns, k = static_cast<std::size_t>(experts_per_token);
  detail::require_written_vector(name, "loads", loads, "experts", "clean", experts);
  detail::noisy_token token(experts, k);
  std::int64_t left_out = 0;
  for (std::size_t t = 0; t < logits.clean().rows; ++t) {
    if (!detail::is_counted(tokens, t)) continue;
    token.read(logits, t);
    left_out += token.is_finite ? 0 : 1;
    for (std::size_t i = 0; i < experts && token.is_finite; ++i) {
      const std::size_t rival = token.rival_of(i, k);
      loads[i] += rival == experts ? 1
                                   : std::erfc((token.noisy[rival] - token.clean[i]) /
                                               (token.deviation[i] * std::numbers::sqrt2)) /
                                         2;
    }
  }
  return left_out;
}

DISTILL_INLINE void smooth_load::run_backward(const noisy_logits& logits, vector_view<const double> slopes,
                                              const detail::output_matrix& gradient,
                                              const detail::output_matrix& deviation_gradient,
                                              const token_options& tokens) const {
  const char* const name = "smooth_load";
  detail::check_noisy(name, logits, experts_per_token, tokens);
  const std::size_t experts = logits.clean().columns, k = static_cast<std::size_t>(experts_per_token);
  detail::require_vector(name, "slopes", slopes, "experts", "clean", experts);
  const auto check_written = [&](const char* what, const detail::output_matrix& out, const char* of,
                                 const detail::input_matrix& source) {
    detail::require_gradient(name, what, out, of, source);
    detail::require_no_overlap(name, "clean", logits.clean(), what, out);
    detail::require_no_overlap(name, "noisy", logits.noisy(), what, out);
    if (logits.has_deviation_matrix())
      detail::require_no_overlap(name, "deviation", logits.deviation(), what, out);
  };
  check_written("gradient", gradient, "clean", logits.clean());
  const bool wants_deviation = deviation_gradient.data != nullptr || deviation_gradient.rows > 0;
  if (wants_deviation && !logits.has_deviation_matrix())
    throw parameter_error(std::string(name) + ": a constant deviation has no gradient");
  if (wants_deviation)
    check_written("deviation gradient", deviation_gradient, "deviation", logits.deviation());
  detail::noisy_token token(experts, k);
  std::vector<double> of_clean(experts), of_deviation(experts);
  for (std::size_t t = 0; t < logits.clean().rows; ++t) {
    token.is_finite = false;
    if (detail::is_counted(tokens, t)) token.read(logits, t);
    if (token.is_finite) {
      detail::smooth_load_slopes(token, k, slopes, through_threshold, of_clean, of_deviation);
    } else {
      of_clean.assign(experts, 0);
      of_deviation.assign(experts, 0);
    }
    detail::write_row(gradient, t, of_clean, tokens.accumulate);
    if (wants_deviation) detail::write_row(deviation_gradient, t, of_deviation, tokens.accumulate);
  }
}

DISTILL_INLINE double load_loss::operator()(vector_view<const double> loads,
                                            vector_view<double> slopes) const {
  return detail::squared_variation("load_loss", "loads", {coefficient, epsilon, unbiased}, loads, slopes);
}

}  // namespace distill::inline DISTILL_ABI
