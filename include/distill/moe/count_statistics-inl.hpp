// Definitions of count_statistics.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/count_statistics.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <distill/moe/routing.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void count_ids(matrix_view<const std::int32_t> ids, std::size_t begin, std::size_t end,
                      std::size_t choices, const token_options& tokens, vector_view<std::int64_t> counts) {
  for (std::size_t t = begin; t < end; ++t)
    for (std::size_t slot = 0; slot < choices && is_counted(tokens, t); ++slot)
      if (const std::int32_t id = ids(t, slot); id != no_expert) ++counts[static_cast<std::size_t>(id)];
}

// Adds rows [begin, end); everything is checked.
template <class Scores>
void add_scores(const Scores& scores, std::size_t begin, std::size_t end, const token_options& tokens,
                router_statistics& statistics) {
  const bool sigmoid = tokens.scores == router_scores::sigmoid;
  const vector_view<double> sums = statistics.probability_sums;
  for (std::size_t t = begin; t < end; ++t) {
    if (!is_counted(tokens, t)) continue;
    double sum = 0;
    for (std::size_t i = 0; i < scores.columns(); ++i) sum += as_double(scores(t, i));
    if (!std::isfinite(sum) || (sigmoid && !(sum > 0))) {
      ++statistics.bad_rows;
      continue;
    }
    ++statistics.tokens;
    const double scale = sigmoid ? 1 / sum : 1;
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += as_double(scores(t, i)) * scale;
  }
}

inline void check_counting(const char* name, matrix_view<const std::int32_t> ids, const input_matrix& scores,
                           std::size_t experts, const token_options& tokens) {
  require_memory(name, "experts", ids);
  require_scores(name, "scores", scores);
  require_extent(name, "scores", scores.rows, "tokens", "experts", ids.rows());
  require_extent(name, "scores", scores.columns, "experts", "statistics", experts);
  require_mask(name, tokens, "experts", ids.rows());
  for (std::size_t t = 0; t < ids.rows(); ++t)
    if (is_counted(tokens, t)) require_indices_of(name, "experts", ids, experts, t);
}

DISTILL_INLINE void count_statistics(matrix_view<const std::int32_t> ids, const input_matrix& scores,
                                     router_statistics& statistics, const token_options& tokens) {
  const char* const name = "count_statistics";
  const std::size_t experts = statistics.assignments.size();
  require_written_vector(name, "assignments", statistics.assignments, "experts", "statistics", experts);
  if (!statistics.probability_sums.empty())
    require_written_vector(name, "probability_sums", statistics.probability_sums, "experts", "assignments",
                           experts);
  check_counting(name, ids, scores, experts, tokens);
  count_ids(ids, 0, ids.rows(), ids.columns(), tokens, statistics.assignments);
  with_elements(scores, [&](const auto& view) { add_scores(view, 0, view.rows(), tokens, statistics); });
}

DISTILL_INLINE void count_sequence_statistics(matrix_view<const std::int32_t> ids, const input_matrix& scores,
                                              const sequence_statistics& statistics,
                                              const token_options& tokens) {
  const char* const name = "count_sequence_statistics";
  const std::size_t sequences = statistics.sequences(), experts = statistics.experts();
  require_matrix(name, "assignments", statistics.assignments, "sequences", sequences, "experts", experts,
                 "assignments");
  require_matrix(name, "probability_sums", statistics.probability_sums, "sequences", sequences, "experts",
                 experts, "assignments");
  require_written_vector(name, "tokens", statistics.tokens, "sequences", "assignments", sequences);
  if (sequences == 0 || ids.rows() % sequences != 0)
    throw shape_error(std::string(name) + ": experts has " + std::to_string(ids.rows()) +
                      " tokens, statistics has " + std::to_string(sequences) +
                      " sequences; they must divide evenly");
  check_counting(name, ids, scores, experts, tokens);
  const std::size_t length = ids.rows() / sequences;
  for (std::size_t s = 0; s < sequences; ++s) {
    router_statistics row = statistics[s];
    count_ids(ids, s * length, (s + 1) * length, ids.columns(), tokens, row.assignments);
    with_elements(scores,
                  [&](const auto& view) { add_scores(view, s * length, (s + 1) * length, tokens, row); });
    statistics.tokens[s] = row.tokens;
  }
}

}  // namespace detail

DISTILL_INLINE void add_statistics(router_statistics& into, const router_statistics& from) {
  const char* const name = "add_statistics";
  detail::require_vector(name, "assignments added", from.assignments, "experts", "assignments",
                         into.assignments.size());
  detail::require_vector(name, "probability_sums added", from.probability_sums, "experts", "probability_sums",
                         into.probability_sums.size());
  for (std::size_t i = 0; i < into.assignments.size(); ++i) into.assignments[i] += from.assignments[i];
  for (std::size_t i = 0; i < into.probability_sums.size(); ++i)
    into.probability_sums[i] += from.probability_sums[i];
  into.tokens += from.tokens;
  into.bad_rows += from.bad_rows;
  into.squared_log_sum_exp += from.squared_log_sum_exp;
}

DISTILL_INLINE void count_assignments(matrix_view<const std::int32_t> experts,
                                      vector_view<std::int64_t> counts, std::size_t first_choices) {
  const char* const name = "count_assignments";
  if (first_choices > experts.columns())
    throw shape_error(std::string(name) + ": first_choices is " + std::to_string(first_choices) +
                      ", experts has " + std::to_string(experts.columns()) + " choices");
  const std::size_t choices = first_choices == 0 ? experts.columns() : first_choices;
  detail::require_memory(name, "experts", experts);
  detail::require_written_vector(name, "counts", counts, "experts", "counts", counts.size());
  const matrix_view<const std::int32_t> counted(experts.data_handle(), experts.rows(), choices,
                                                experts.stride(0), experts.stride(1));
  detail::require_indices(name, "experts", counted, counts.size());
  detail::count_ids(experts, 0, experts.rows(), choices, {}, counts);
}

}  // namespace distill::inline DISTILL_ABI
