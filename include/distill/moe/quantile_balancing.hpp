#pragma once

#include <concepts>
#include <distill/execution/workspace.hpp>
#include <distill/moe/balance_options.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/matrix_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// Counters of the biases that tokens ask of each expert, in memory that somebody else owns. Plain sums:
/// those of micro-batches and processes are added element by element, if they have the same range.
struct bias_histogram {
  /// [experts, bins] equal bins over [low, high]; what lies outside is in the first or last.
  matrix_view<std::int64_t> counts = {};
  double low = 0, high = 0;
};

/// Quantile balancing: the bias with which each expert would have been chosen by its share k / E of the
/// batch's tokens.
///
/// α_t = the (k+1)-th largest of s_ti + b_i over experts; r_ti = α_t - s_ti, the bias with which token t
/// would choose expert i; new b_i = the k/E-quantile of r_·i over tokens; with `recentre` minus the mean of
/// the new b. Quantile: linear between order statistics, at position (k / E)(T - 1). From a histogram: linear
/// within a bin. Shapes: scores [tokens, experts] (sigmoid or softmax, any strides), bias [experts]. Options:
/// `experts_per_token` k in [1, experts), must be given; `recentre`; the mask of `token_options`. Throws:
/// shape_error, parameter_error, layout_error, data_error (a bias that is not finite, negative counts),
/// before anything is written. Special values: no tokens leave the bias as it is; a token with a score that
/// is not finite is left out. Cost: O(tokens · experts · k), no exponentials. Exact form: 16 bytes per token
/// from the workspace. Accuracy: histogram within one bin of the exact order statistic. Calling thread;
/// independent of how a batch is split. Source: Kimi K3 technical report, section 2.3.3.
struct quantile_balancing {
  std::int64_t experts_per_token = 0;
  bool recentre = true;

  /// Replaces the bias, from all of a batch's scores.
  template <class Scores>
    requires(!std::same_as<std::remove_cvref_t<Scores>, bias_histogram>)
  void operator()(Scores&& scores, vector_view<float> bias, const token_options& tokens = {},
                  workspace* memory = nullptr) const {
    exact(as_view(std::forward<Scores>(scores)), bias, tokens, memory);
  }
  /// Replaces the bias, from counters of a whole batch.
  void operator()(const bias_histogram& histogram, vector_view<float> bias) const;

  /// Sets the range to [min b - 1, max b + 1], which holds r for scores in [0, 1], and the counters to 0.
  void begin(vector_view<const float> bias, bias_histogram& histogram) const;
  /// Adds a micro-batch, chosen with this bias, to the counters.
  template <class Scores>
  void count(Scores&& scores, vector_view<const float> bias, const bias_histogram& histogram,
             const token_options& tokens = {}) const {
    add(as_view(std::forward<Scores>(scores)), bias, histogram, tokens);
  }
  bool operator==(const quantile_balancing&) const = default;

 private:
  void exact(const detail::input_matrix& scores, vector_view<float> bias, const token_options& tokens,
             workspace* memory) const;
  void add(const detail::input_matrix& scores, vector_view<const float> bias, const bias_histogram& histogram,
           const token_options& tokens) const;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/quantile_balancing-inl.hpp>
#endif
