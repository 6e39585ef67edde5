// Definitions of quantile_balancing.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <algorithm>
#include <distill/moe/largest_scores-inl.hpp>
#include <distill/moe/quantile_balancing.hpp>
#include <distill/moe/router_memory-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void check_quantile(const char* name, std::int64_t k, std::size_t experts) {
  if (experts < 2)
    throw shape_error(std::string(name) + ": bias has " + std::to_string(experts) +
                      " experts, at least 2 are needed");
  require_experts_per_token(name, k, experts - 1);
}
inline void check_bias(const char* name, vector_view<const float> bias) {
  for (std::size_t i = 0; i < bias.size(); ++i)
    if (!std::isfinite(bias[i]))
      throw data_error(std::string(name) + ": bias[" + std::to_string(i) + "] is " +
                       text_of(static_cast<double>(bias[i])) + ", must be finite");
}

// The (k+1)-th largest biased score of a token; NaN for one that does not count.
template <class Scores>
double cutoff_of(const Scores& scores, std::size_t t, vector_view<const float> bias,
                 const token_options& tokens, largest_scores& largest, std::size_t k) {
  if (!is_counted(tokens, t)) return std::nan("");
  largest.clear();
  for (std::size_t i = 0; i < scores.columns(); ++i) {
    const double score = as_double(scores(t, i));
    if (!std::isfinite(score)) return std::nan("");
    largest.add(score + static_cast<double>(bias[i]), i);
  }
  return largest[k].score;
}

// Linear between order statistics; reorders the values.
inline double quantile_of(double* values, std::size_t count, double q) {
  const double position = q * static_cast<double>(count - 1);
  const auto below = static_cast<std::size_t>(position);
  std::nth_element(values, values + below, values + count);
  const double low = values[below], rest = position - static_cast<double>(below);
  if (rest == 0 || below + 1 == count) return low;
  return low + rest * (*std::min_element(values + below + 1, values + count) - low);
}

inline double quantile_of(const bias_histogram& histogram, std::size_t expert, double q) {
  std::int64_t total = 0;
  for (std::size_t b = 0; b < histogram.counts.columns(); ++b) total += histogram.counts(expert, b);
  const double wanted = q * static_cast<double>(total);
  const double width = (histogram.high - histogram.low) / static_cast<double>(histogram.counts.columns());
  double before = 0;
  for (std::size_t b = 0; b < histogram.counts.columns(); ++b) {
    const auto here = static_cast<double>(histogram.counts(expert, b));
    if (here > 0 && before + here >= wanted)
      return histogram.low + width * (static_cast<double>(b) + (wanted - before) / here);
    before += here;
  }
  return histogram.high;
}

inline void check_histogram(const char* name, const bias_histogram& histogram, std::size_t experts) {
  if (histogram.counts.columns() == 0) throw shape_error(std::string(name) + ": counts has 0 bins");
  require_matrix(name, "counts", histogram.counts, "experts", experts, "bins", histogram.counts.columns(),
                 "bias");
}
inline void check_range(const char* name, const bias_histogram& histogram) {
  if (!(std::isfinite(histogram.low) && std::isfinite(histogram.high) && histogram.low < histogram.high))
    throw parameter_error(std::string(name) + ": the histogram's range must be finite and low < high, got [" +
                          text_of(histogram.low) + ", " + text_of(histogram.high) + "]");
}

}  // namespace detail

DISTILL_INLINE void quantile_balancing::exact(const detail::input_matrix& scores, vector_view<float> bias,
                                              const token_options& tokens, workspace* memory) const {
  const char* const name = "quantile_balancing";
  detail::check_quantile(name, experts_per_token, bias.size());
  detail::require_written_vector(name, "bias", bias, "experts", "bias", bias.size());
  detail::check_bias(name, bias);
  detail::require_scores(name, "scores", scores);
  detail::require_extent(name, "scores", scores.columns, "experts", "bias", bias.size());
  detail::require_mask(name, tokens, "scores", scores.rows);
  const auto k = static_cast<std::size_t>(experts_per_token);
  workspace own;
  auto* const cutoffs = reinterpret_cast<double*>(
      (memory != nullptr ? *memory : own).require(2 * scores.rows * sizeof(double)));
  double* const column = cutoffs + scores.rows;
  detail::largest_scores largest(k + 1);
  std::vector<double> replaced(bias.size());
  std::size_t counted = 0;
  double mean = 0;
  detail::with_elements(scores, [&](const auto& view) {
    for (std::size_t t = 0; t < view.rows(); ++t) {
      cutoffs[t] = detail::cutoff_of(view, t, bias, tokens, largest, k);
      counted += std::isnan(cutoffs[t]) ? 0 : 1;
    }
    for (std::size_t i = 0; i < view.columns() && counted > 0; ++i) {
      std::size_t n = 0;
      for (std::size_t t = 0; t < view.rows(); ++t)
        if (!std::isnan(cutoffs[t])) column[n++] = cutoffs[t] - detail::as_double(view(t, i));
      replaced[i] = detail::quantile_of(column, n, static_cast<double>(k) / static_cast<double>(bias.size()));
      mean += replaced[i] / static_cast<double>(bias.size());
    }
  });
  for (std::size_t i = 0; i < bias.size() && counted > 0; ++i)
    bias[i] = static_cast<float>(replaced[i] - (recentre ? mean : 0));
}

DISTILL_INLINE void quantile_balancing::operator()(const bias_histogram& histogram,
                                                   vector_view<float> bias) const {
  const char* const name = "quantile_balancing";
  const std::size_t experts = bias.size();
  detail::check_quantile(name, experts_per_token, experts);
  detail::require_written_vector(name, "bias", bias, "experts", "bias", experts);
  detail::check_histogram(name, histogram, experts);
  detail::check_range(name, histogram);
  std::vector<double> replaced(experts);
  double mean = 0;
  bool counted = false;
  for (std::size_t i = 0; i < experts; ++i) {
    const vector_view<const std::int64_t> row(&histogram.counts(i, 0), histogram.counts.columns(),
                                              histogram.counts.stride(1));
    const bool any = detail::require_counts(name, "counts of expert " + std::to_string(i), row) > 0;
    if (i > 0 && any != counted)
      throw data_error(std::string(name) + ": expert " + std::to_string(i) + " counted " +
                       (any ? "tokens" : "no tokens") + ", expert 0 " + (counted ? "did" : "did not"));
    counted = any;
    if (!any) continue;
    replaced[i] = detail::quantile_of(histogram, i,
                                      static_cast<double>(experts_per_token) / static_cast<double>(experts));
    mean += replaced[i] / static_cast<double>(experts);
  }
  for (std::size_t i = 0; i < experts && counted; ++i)
    bias[i] = static_cast<float>(replaced[i] - (recentre ? mean : 0));
}

DISTILL_INLINE void quantile_balancing::begin(vector_view<const float> bias,
                                              bias_histogram& histogram) const {
  const char* const name = "quantile_balancing";
  detail::check_quantile(name, experts_per_token, bias.size());
  detail::require_vector(name, "bias", bias, "experts", "bias", bias.size());
  detail::check_bias(name, bias);
  detail::check_histogram(name, histogram, bias.size());
  float low = bias[0], high = bias[0];
  for (std::size_t i = 0; i < bias.size(); ++i) low = std::min(low, bias[i]), high = std::max(high, bias[i]);
  histogram.low = static_cast<double>(low) - 1;
  histogram.high = static_cast<double>(high) + 1;
  for (std::size_t i = 0; i < bias.size(); ++i)
    for (std::size_t b = 0; b < histogram.counts.columns(); ++b) histogram.counts(i, b) = 0;
}

DISTILL_INLINE void quantile_balancing::add(const detail::input_matrix& scores, vector_view<const float> bias,
                                            const bias_histogram& histogram,
                                            const token_options& tokens) const {
  const char* const name = "quantile_balancing";
  detail::check_quantile(name, experts_per_token, bias.size());
  detail::require_vector(name, "bias", bias, "experts", "bias", bias.size());
  detail::check_bias(name, bias);
  detail::check_histogram(name, histogram, bias.size());
  detail::check_range(name, histogram);
  detail::require_scores(name, "scores", scores);
  detail::require_extent(name, "scores", scores.columns, "experts", "bias", bias.size());
  detail::require_mask(name, tokens, "scores", scores.rows);
  const auto k = static_cast<std::size_t>(experts_per_token);
  const auto bins = static_cast<double>(histogram.counts.columns());
  const double scale = bins / (histogram.high - histogram.low);
  detail::largest_scores largest(k + 1);
  detail::with_elements(scores, [&](const auto& view) {
    for (std::size_t t = 0; t < view.rows(); ++t) {
      const double cutoff = detail::cutoff_of(view, t, bias, tokens, largest, k);
      if (std::isnan(cutoff)) continue;
      for (std::size_t i = 0; i < view.columns(); ++i) {
        const double bin = (cutoff - detail::as_double(view(t, i)) - histogram.low) * scale;
        ++histogram.counts(i, static_cast<std::size_t>(std::clamp(bin, 0.0, bins - 1)));
      }
    }
  });
}

}  // namespace distill::inline DISTILL_ABI
