// Definitions of row_weights.hpp and row_temperatures.hpp: checks, and what is made of the rows' scores.
// Compiled once in src/, or included by them in header-only mode.
#pragma once

#include <algorithm>
#include <distill/numeric/compensated_sum-inl.hpp>
#include <distill/teacher/row_scores-inl.hpp>
#include <distill/teacher/row_temperatures.hpp>
#include <distill/teacher/row_weights.hpp>

namespace distill::inline DISTILL_ABI::detail {

// ---- checks

inline void require_not_negative(const char* name, const char* what, double value) {
  if (!(std::isfinite(value) && value >= 0)) throw_parameter(name, what, "finite and >= 0", text_of(value));
}

inline void check_policy(const row_policy& policy, const input_matrix& student, const input_matrix& teacher,
                         const vector_view<const float>& row_weights) {
  const char* const name = policy.name;
  const char* const first = policy.compares() ? "student" : "logits";
  require_temperature(name, "temperature", policy.temperature);
  require_not_negative(name, "gamma", policy.gamma);
  require_not_negative(name, "beta", policy.beta);
  require_not_negative(name, "right", policy.right);
  require_not_negative(name, "wrong", policy.wrong);
  require_input(name, first, student);
  if (policy.compares()) {
    require_extent(name, "teacher", teacher.rows, "rows", "student", student.rows);
    require_extent(name, "teacher", teacher.columns, "classes", "student", student.columns);
    require_input(name, "teacher", teacher);
  }
  require_row_weights(name, first, row_weights, student.rows);
  if (policy.uses_labels())
    require_labels(name, policy.labels, policy.ignore_index, row_weights, first, student.rows,
                   student.columns);
}

inline void check_written(const row_policy& policy, const char* what, const vector_view<float>& output,
                          const input_matrix& student, const input_matrix& teacher,
                          const vector_view<const float>& row_weights) {
  require_written(policy.name, what, output, policy.compares() ? "student" : "logits", student);
  if (policy.compares()) require_row_output(policy.name, what, output, "teacher", teacher);
  const bool is_same = output.data_handle() == row_weights.data_handle() &&
                       (output.size() <= 1 || output.stride() == row_weights.stride());
  if (!is_same && intersect(bytes_of(output), bytes_of(row_weights)))
    throw layout_error(std::string(policy.name) + ": " + what +
                       " overlaps row_weights without being exactly the same elements");
}

// What is written: a NaN without the sign that arithmetic may have given it.
inline float as_float(double value) {
  return std::isnan(value) ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(value);
}

// ---- weights

// The mean over the rows that count and are finite; 0 if there are none.
template <class Counts>
double mean_score(const double* scores, std::size_t rows, Counts counts) {
  compensated_sum sum;
  std::size_t counted = 0;
  for (std::size_t row = 0; row < rows; ++row)
    if (counts(row) && std::isfinite(scores[row])) sum.add(scores[row]), ++counted;
  return counted > 0 ? sum.total() / static_cast<double>(counted) : 0;
}

inline void write_weights(const row_policy& policy, const double* scores, const vector_view<float>& weights,
                          const row_weight_options& options) {
  const auto counts = [&](std::size_t row) { return counts_row(policy, options.row_weights, row); };
  double divisor = 1;
  if (options.normalize) divisor = mean_score(scores, weights.size(), counts);
  if (divisor == 0) divisor = 1;
  for (std::size_t row = 0; row < weights.size(); ++row) {
    const double factor = options.row_weights.empty() ? 1 : static_cast<double>(options.row_weights[row]);
    weights[row] = counts(row) ? as_float(factor * (scores[row] / divisor)) : 0.0f;
  }
}

DISTILL_INLINE void evaluate_row_weights(const row_policy& policy, const input_matrix& student,
                                         const input_matrix& teacher, vector_view<float> weights,
                                         const row_weight_options& options) {
  check_policy(policy, student, teacher, options.row_weights);
  check_written(policy, "weights", weights, student, teacher, options.row_weights);
  workspace own;
  const row_scores scores = scores_of_rows(policy, student, teacher, options.row_weights, options.executor,
                                           options.workspace != nullptr ? *options.workspace : own);
  for (std::size_t row = 0; row < student.rows; ++row)
    if (counts_row(policy, options.row_weights, row))
      scores.first[row] = score_of(policy, student.columns, scores, row);
  write_weights(policy, scores.first, weights, options);
}

DISTILL_INLINE void evaluate_balance_weights(const row_policy& policy, double factor,
                                             const input_matrix& student, const input_matrix& teacher,
                                             vector_view<float> forward, vector_view<float> reverse,
                                             const row_weight_options& options) {
  if (!(std::isfinite(factor) && factor >= 1))
    throw_parameter(policy.name, "factor", "finite and >= 1", text_of(factor));
  check_policy(policy, student, teacher, options.row_weights);
  check_written(policy, "forward", forward, student, teacher, options.row_weights);
  check_written(policy, "reverse", reverse, student, teacher, options.row_weights);
  if (intersect(bytes_of(forward), bytes_of(reverse)))
    throw layout_error(std::string(policy.name) + ": reverse overlaps forward");
  if (!options.row_weights.empty() && reverse.data_handle() == options.row_weights.data_handle())
    throw layout_error(std::string(policy.name) +
                       ": reverse overlaps row_weights, which both need; use forward");
  workspace own;
  const row_scores entropies = scores_of_rows(policy, student, teacher, options.row_weights, options.executor,
                                              options.workspace != nullptr ? *options.workspace : own);
  for (std::size_t row = 0; row < student.rows; ++row) {
    if (!counts_row(policy, options.row_weights, row)) continue;
    const double teacher_entropy = entropies.first[row], student_entropy = entropies.second[row];
    const double poison = 0 * (teacher_entropy + student_entropy);
    entropies.first[row] = (teacher_entropy > student_entropy ? factor : 1) + poison;
    entropies.second[row] = (student_entropy > teacher_entropy ? factor : 1) + poison;
  }
  write_weights(policy, entropies.second, reverse, options);  // forward may be the mask
  write_weights(policy, entropies.first, forward, options);
}

// ---- temperatures

inline void check_rule(const char* name, const temperature_rule& rule) {
  require_temperature(name, "temperature", rule.temperature);
  if (!std::isfinite(rule.beta)) throw_parameter(name, "beta", "finite", text_of(rule.beta));
  // Within the range of float, in which temperatures are written.
  if (!(std::isfinite(rule.lowest) && rule.lowest >= 1e-30))
    throw_parameter(name, "lowest", "finite and >= 1e-30", text_of(rule.lowest));
  if (!(rule.highest >= rule.lowest && rule.highest <= 1e30))
    throw_parameter(name, "highest", ">= lowest and <= 1e30", text_of(rule.highest));
}

DISTILL_INLINE void evaluate_row_temperatures(const row_policy& policy, const temperature_rule& rule,
                                              const input_matrix& student, const input_matrix& teacher,
                                              vector_view<float> temperatures,
                                              const row_temperature_options& options) {
  check_rule(policy.name, rule);
  check_policy(policy, student, teacher, options.row_weights);
  check_written(policy, "temperatures", temperatures, student, teacher, options.row_weights);
  workspace own;
  const row_scores scores = scores_of_rows(policy, student, teacher, options.row_weights, options.executor,
                                           options.workspace != nullptr ? *options.workspace : own);
  const auto counts = [&](std::size_t row) { return counts_row(policy, options.row_weights, row); };
  for (std::size_t row = 0; row < student.rows; ++row)
    if (counts(row)) scores.first[row] = score_of(policy, student.columns, scores, row);
  const double mean = rule.is_product ? 0 : mean_score(scores.first, student.rows, counts);
  for (std::size_t row = 0; row < student.rows; ++row) {
    double temperature = rule.temperature;
    if (counts(row))
      temperature = rule.is_product ? temperature * scores.first[row]
                                    : temperature + rule.beta * (mean - scores.first[row]);
    // NaN stays NaN.
    temperatures[row] = as_float(std::clamp(temperature, rule.lowest, rule.highest));
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
