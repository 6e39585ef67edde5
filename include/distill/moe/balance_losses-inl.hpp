// Definitions of switch_loss.hpp, gshard_loss.hpp and sequence_balance_loss.hpp. Compiled once in src/, or
// included by them in header-only mode.
#pragma once

#include <distill/moe/gshard_loss.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <distill/moe/sequence_balance_loss.hpp>
#include <distill/moe/switch_loss.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

// Σ_i counts[i] sums[i], and the slopes factor · counts[i]; all sizes are checked.
inline double dot_with_counts(vector_view<const std::int64_t> counts, vector_view<const double> sums) {
  double dot = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) dot += static_cast<double>(counts[i]) * sums[i];
  return dot;
}
inline void write_slopes(vector_view<const std::int64_t> counts, double factor, vector_view<double> slopes,
                         bool accumulate) {
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    const double slope = factor * static_cast<double>(counts[i]);
    slopes[i] = accumulate ? slopes[i] + slope : slope;
  }
}

DISTILL_INLINE double share_loss(const char* name, double coefficient, std::int64_t choices,
                                 const router_statistics& statistics, const expert_load& load,
                                 vector_view<double> slopes, const balance_options& options) {
  require_finite(name, "coefficient", coefficient);
  require_denominator(name, options);
  const std::size_t experts = load.assignments.size();
  require_experts_per_token(name, choices, experts);
  require_vector(name, "probability_sums", vector_view<const double>(statistics.probability_sums), "experts",
                 "load", experts);
  if (!slopes.empty()) require_written_vector(name, "slopes", slopes, "experts", "load", experts);
  require_token_count(name, "tokens", statistics.tokens);
  require_token_count(name, "tokens of the load", load.tokens);
  const std::int64_t assigned = require_counts(name, "assignments", load.assignments);
  const std::int64_t counted = load.tokens + load.bad_rows;
  if (assigned / choices > counted || (assigned / choices == counted && assigned % choices != 0))
    throw data_error(std::string(name) + ": the load has " + std::to_string(assigned) + " assignments of " +
                     std::to_string(counted) + " tokens, at most " + std::to_string(choices) +
                     " each are possible");
  const double denominator = options.denominator.value_or(static_cast<double>(statistics.tokens));
  double factor = 0;
  if (statistics.tokens > 0 && load.tokens > 0)
    factor = coefficient * static_cast<double>(experts) /
             (static_cast<double>(choices) * static_cast<double>(load.tokens)) / denominator;
  const double value =
      factor == 0 ? 0 : factor * dot_with_counts(load.assignments, statistics.probability_sums);
  write_slopes(load.assignments, factor, slopes, options.accumulate);
  return value;
}

inline void check_sequences(const char* name, const sequence_balance_loss& loss, const sequence_statistics& s,
                            matrix_view<double> slopes, const balance_options& options) {
  require_finite(name, "coefficient", loss.coefficient);
  require_denominator(name, options);
  require_experts_per_token(name, loss.experts_per_token, s.experts());
  require_vector(name, "tokens", vector_view<const std::int64_t>(s.tokens), "entries", "assignments",
                 s.sequences());
  require_matrix(name, "assignments", matrix_view<const std::int64_t>(s.assignments), "sequences",
                 s.sequences(), "experts", s.experts(), "assignments");
  require_matrix(name, "probability_sums", matrix_view<const double>(s.probability_sums), "sequences",
                 s.sequences(), "experts", s.experts(), "assignments");
  if (slopes.rows() > 0 || slopes.data_handle() != nullptr)
    require_matrix(name, "slopes", slopes, "sequences", s.sequences(), "experts", s.experts(), "assignments");
  for (std::size_t i = 0; i < s.sequences(); ++i) {
    require_token_count(name, "tokens[" + std::to_string(i) + "]", s.tokens[i]);
    require_counts(name, "assignments of sequence " + std::to_string(i), s[i].assignments);
  }
}

}  // namespace detail

DISTILL_INLINE double switch_loss::operator()(const router_statistics& statistics, const expert_load& load,
                                              vector_view<double> slopes,
                                              const balance_options& options) const {
  return detail::share_loss("switch_loss", coefficient, experts_per_token, statistics, load, slopes, options);
}

DISTILL_INLINE double gshard_loss::operator()(const router_statistics& statistics,
                                              const expert_load& first_choices, vector_view<double> slopes,
                                              const balance_options& options) const {
  return detail::share_loss("gshard_loss", coefficient, 1, statistics, first_choices, slopes, options);
}

DISTILL_INLINE double sequence_balance_loss::operator()(const sequence_statistics& statistics,
                                                        matrix_view<double> slopes,
                                                        const balance_options& options) const {
  detail::check_sequences("sequence_balance_loss", *this, statistics, slopes, options);
  std::int64_t counted = 0;
  for (std::size_t s = 0; s < statistics.sequences(); ++s) counted += statistics.tokens[s] > 0 ? 1 : 0;
  const double denominator = options.denominator.value_or(static_cast<double>(counted));
  double total = 0;
  for (std::size_t s = 0; s < statistics.sequences(); ++s) {
    const router_statistics row = statistics[s];
    const auto tokens = static_cast<double>(row.tokens);
    const double factor = row.tokens == 0
                              ? 0
                              : coefficient * static_cast<double>(statistics.experts()) /
                                    (static_cast<double>(experts_per_token) * tokens) / tokens / denominator;
    if (factor != 0) total += factor * detail::dot_with_counts(row.assignments, row.probability_sums);
    if (slopes.rows() == 0) continue;
    detail::write_slopes(row.assignments, factor, {&slopes(s, 0), slopes.columns(), slopes.stride(1)},
                         options.accumulate);
  }
  return total;
}

}  // namespace distill::inline DISTILL_ABI
