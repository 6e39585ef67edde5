// Definitions of teacher_weights.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <algorithm>
#include <distill/teacher/mixing-inl.hpp>
#include <distill/teacher/row_statistics-inl.hpp>
#include <distill/teacher/teacher_weights.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

// What a policy scores teachers by.
enum class teacher_score { entropy, confidence, label };

struct teacher_policy {
  const char* name;
  double temperature = 1, sharpness = 1;
  label_view labels = {};
  std::int64_t ignore_index = -100;
  bool uses_labels = false;
};

inline void check_teacher_weights(const teacher_policy& policy, const teacher_list& teachers,
                                  const output_matrix& weights, const teacher_weight_options& options) {
  const char* const name = policy.name;
  require_temperature(name, "temperature", policy.temperature);
  require_temperature(name, "sharpness", policy.sharpness);
  check_teachers(name, teachers);
  const input_matrix& first = teachers[0];
  require_extent(name, "weights", weights.rows, "rows", "teachers[0]", first.rows);
  if (weights.columns != teachers.size())
    throw shape_error(std::string(name) + ": weights has " + std::to_string(weights.columns) +
                      " columns, there are " + std::to_string(teachers.size()) + " teachers");
  if (weights.data == nullptr) throw layout_error(std::string(name) + ": weights has no memory");
  require_aligned(name, "weights", weights);
  require_distinct_elements(name, "weights", weights);
  for (std::size_t i = 0; i < teachers.size(); ++i)
    if (intersect(bytes_of(teachers[i]), bytes_of(weights)))
      throw layout_error(std::string(name) + ": weights overlaps teachers[" + std::to_string(i) + "]");
  if (intersect(bytes_of(options.row_weights), bytes_of(weights)))
    throw layout_error(std::string(name) + ": weights overlaps row_weights");
  require_row_weights(name, "teachers[0]", options.row_weights, first.rows);
  if (policy.uses_labels)
    require_labels(name, policy.labels, policy.ignore_index, options.row_weights, "teachers[0]", first.rows,
                   first.columns);
}

// [rows, teachers] scores, compact, at the start of the workspace.
inline double* score_teachers(teacher_score score, const teacher_policy& policy, const teacher_list& teachers,
                              const teacher_weight_options& options, workspace& memory) {
  const std::size_t rows = teachers[0].rows, count = teachers.size();
  const std::size_t kept = round_up_to_line(rows * count * sizeof(double));
  const auto measure = [&](std::size_t i, double* scores) {
    row_statistics_job job;
    job.logits = teachers[i];
    job.temperature = policy.temperature;
    job.weights = options.row_weights;
    job.labels = policy.labels;
    job.ignore_index = policy.ignore_index;
    const vector_view<double> column(scores == nullptr ? nullptr : scores + i, rows,
                                     static_cast<std::ptrdiff_t>(count));
    (score == teacher_score::entropy      ? job.entropy
     : score == teacher_score::confidence ? job.largest_probability
                                          : job.label_log_probability) = column;
    return job;
  };
  std::size_t most = 0;  // scratch: the scores must not move once they are being written
  for (std::size_t i = 0; i < count; ++i) {
    row_statistics_job job = measure(i, nullptr);
    most = std::max(most, plan_row_statistics(job, options.executor).bytes());
  }
  const kept_and_scratch space(memory, kept, most);
  auto* const scores = reinterpret_cast<double*>(space.kept);
  for (std::size_t i = 0; i < count; ++i) {
    row_statistics_job job = measure(i, scores);
    const row_plan plan = plan_row_statistics(job, options.executor);
    run_row_statistics(job, plan, options.executor, space.scratch);
  }
  for (std::size_t k = 0; k < rows * count; ++k) {
    if (score == teacher_score::entropy) scores[k] = -scores[k];
    if (score == teacher_score::confidence) scores[k] = std::log(scores[k]);
  }
  return scores;
}

// softmax(scores / sharpness) over the teachers of one row; -inf in all of them counts as equal.
inline void share_by_scores(double* scores, std::size_t count, double sharpness) {
  double largest = -std::numeric_limits<double>::infinity(), total = 0;
  bool is_number = true;
  for (std::size_t i = 0; i < count; ++i) {
    if (scores[i] > largest) largest = scores[i];
    is_number = is_number && !std::isnan(scores[i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const double e = scores[i] == largest ? 1 : std::exp((scores[i] - largest) / sharpness);
    total += scores[i] = is_number ? e : not_a_number;
  }
  for (std::size_t i = 0; i < count; ++i) scores[i] = is_number ? scores[i] / total : not_a_number;
}

template <class Share>
void write_teacher_weights(double* scores, const output_matrix& weights,
                           const teacher_weight_options& options, Share share) {
  for (std::size_t row = 0; row < weights.rows; ++row) {
    double* const of_row = scores + row * weights.columns;
    const bool is_masked = !options.row_weights.empty() && options.row_weights[row] == 0;
    if (!is_masked) share(of_row);
    for (std::size_t i = 0; i < weights.columns; ++i) assign_at(weights, row, i, is_masked ? 0 : of_row[i]);
  }
}

inline void weigh_teachers(teacher_score score, const teacher_policy& policy, const teacher_list& teachers,
                           const output_matrix& weights, const teacher_weight_options& options) {
  check_teacher_weights(policy, teachers, weights, options);
  workspace own;
  workspace& memory = options.workspace != nullptr ? *options.workspace : own;
  double* const scores = score_teachers(score, policy, teachers, options, memory);
  write_teacher_weights(scores, weights, options,
                        [&](double* of_row) { share_by_scores(of_row, weights.columns, policy.sharpness); });
}

}  // namespace detail

DISTILL_INLINE void weights_by_entropy::evaluate(const teacher_list& teachers,
                                                 const detail::output_matrix& weights,
                                                 const teacher_weight_options& options) const {
  detail::weigh_teachers(detail::teacher_score::entropy, {"weights_by_entropy", temperature, sharpness},
                         teachers, weights, options);
}

DISTILL_INLINE void weights_by_confidence::evaluate(const teacher_list& teachers,
                                                    const detail::output_matrix& weights,
                                                    const teacher_weight_options& options) const {
  detail::weigh_teachers(detail::teacher_score::confidence, {"weights_by_confidence", temperature, sharpness},
                         teachers, weights, options);
}

DISTILL_INLINE void weights_by_label::evaluate(const teacher_list& teachers,
                                               const detail::output_matrix& weights,
                                               const teacher_weight_options& options) const {
  detail::weigh_teachers(detail::teacher_score::label,
                         {"weights_by_label", temperature, sharpness, labels, ignore_index, true}, teachers,
                         weights, options);
}

DISTILL_INLINE void ca_mkd_weights::evaluate(const teacher_list& teachers,
                                             const detail::output_matrix& weights,
                                             const teacher_weight_options& options) const {
  const detail::teacher_policy policy{"ca_mkd_weights", temperature, 1, labels, ignore_index, true};
  detail::check_teacher_weights(policy, teachers, weights, options);
  workspace own;
  workspace& memory = options.workspace != nullptr ? *options.workspace : own;
  const std::size_t count = teachers.size();
  double* const scores =
      detail::score_teachers(detail::teacher_score::label, policy, teachers, options, memory);
  detail::write_teacher_weights(scores, weights, options, [&](double* of_row) {
    for (std::size_t i = 0; i < count; ++i) of_row[i] = -of_row[i];
    detail::share_by_scores(of_row, count, 1);
    // The complement of a share as the sum of the others', which keeps its digits.
    double others[teacher_list::capacity] = {};
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < count; ++j)
        if (j != i) others[i] += of_row[j];
    for (std::size_t i = 0; i < count; ++i)
      of_row[i] = count == 1 ? of_row[i] : others[i] / static_cast<double>(count - 1);
  });
}

DISTILL_INLINE void weights_by_agreement::evaluate(const teacher_list& teachers,
                                                   const detail::output_matrix& weights,
                                                   const teacher_weight_options& options) const {
  const detail::teacher_policy policy{"weights_by_agreement", temperature, sharpness};
  detail::check_teacher_weights(policy, teachers, weights, options);
  workspace own;
  workspace& memory = options.workspace != nullptr ? *options.workspace : own;
  const std::size_t rows = weights.rows, count = weights.columns;
  detail::mixing_job job;
  job.kind = detail::mixing_kind::divergences;
  job.teachers = teachers;
  job.temperature = temperature;
  job.row_weights = options.row_weights;
  const std::size_t kept = detail::round_up_to_line(rows * count * sizeof(double));
  const detail::row_plan plan = detail::plan_mixing(job, options.executor);
  const detail::kept_and_scratch space(memory, kept, plan.bytes());
  auto* const scores = reinterpret_cast<double*>(space.kept);
  job.output = detail::output_matrix(matrix_view(scores, rows, count));
  detail::run_mixing(job, plan, options.executor, space.scratch);
  for (std::size_t k = 0; k < rows * count; ++k) scores[k] = -scores[k];
  detail::write_teacher_weights(scores, weights, options,
                                [&](double* of_row) { detail::share_by_scores(of_row, count, sharpness); });
}

}  // namespace distill::inline DISTILL_ABI
