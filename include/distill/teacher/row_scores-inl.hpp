// A score for each row, from what is measured of it: what weights and temperatures of rows are made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/teacher/row_policy_job.hpp>
#include <distill/teacher/row_statistics-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

struct row_scores {
  double* first = nullptr;
  double* second = nullptr;
};

// What a policy measures, before anything is made of it.
struct row_measurement {
  row_statistics_job student, teacher;
  row_comparison_job pair;
  bool of_student = false, of_teacher = false, of_pair = false;
};

inline void choose_entries(const row_policy& policy, std::size_t rows, const row_scores& to,
                           row_measurement& measured) {
  const vector_view<double> first(to.first, rows), second(to.second, rows);
  const auto from = [](bool& used, vector_view<double>& entry, const vector_view<double>& column) {
    used = true;
    entry = column;
  };
  switch (policy.score) {
    case row_score::entropy:
    case row_score::certainty:
      return from(measured.of_student, measured.student.entropy, first);
    case row_score::both_entropies:
    case row_score::ea_kd:
      from(measured.of_teacher, measured.teacher.entropy, first);
      return from(measured.of_student, measured.student.entropy, second);
    case row_score::label_probability:
      return from(measured.of_student, measured.student.label_log_probability, first);
    case row_score::focal:
      return from(measured.of_student, measured.student.other_probability, first);
    case row_score::right_label:
      measured.student.largest_class = {reinterpret_cast<std::int64_t*>(to.second), rows};
      return from(measured.of_student, measured.student.largest_probability, first);
    case row_score::focal_divergence:
      if (policy.beta > 0) from(measured.of_teacher, measured.teacher.entropy, second);
      return from(measured.of_pair, measured.pair.divergence, first);
    case row_score::inverse_confidence:
      return from(measured.of_student, measured.student.largest_probability, first);
    case row_score::angle:
      return from(measured.of_pair, measured.pair.cosine_distance, first);
    case row_score::deviation:
      return from(measured.of_student, measured.student.deviation, first);
  }
}

// What the policy makes of a row's measurements.
inline double score_of(const row_policy& policy, std::size_t classes, const row_scores& m, std::size_t row) {
  const double x = m.first[row];
  const double most = classes > 1 ? std::log(static_cast<double>(classes)) : 1;
  switch (policy.score) {
    case row_score::entropy:
      return std::min(x / most, 1.0);
    case row_score::certainty:
      return std::isnan(x) ? x : std::max(0.0, 1 - x / most);
    case row_score::ea_kd:
      return (x + x * m.second[row] / most) / 2;
    case row_score::label_probability:
      return std::exp(x);
    case row_score::focal:
      return std::isnan(x) ? x : std::pow(x, policy.gamma);
    case row_score::right_label:
      if (std::isnan(x)) return x;
      return reinterpret_cast<const std::int64_t*>(m.second)[row] == policy.labels[row] ? policy.right
                                                                                        : policy.wrong;
    case row_score::focal_divergence: {
      const double distance = policy.beta > 0 ? x + policy.beta * m.second[row] : x;
      return std::isnan(distance) ? distance : std::pow(-std::expm1(-distance), policy.gamma);
    }
    case row_score::inverse_confidence:
      return 1 / (x + 1e-3);
    case row_score::angle:
      return std::isnan(x) ? x : std::pow(x, policy.gamma);
    default:
      return x;
  }
}

// Whether a row enters: not masked, its label not ignored.
inline bool counts_row(const row_policy& policy, const vector_view<const float>& row_weights,
                       std::size_t row) {
  return (row_weights.empty() || row_weights[row] != 0) &&
         !(policy.uses_labels() && policy.labels[row] == policy.ignore_index);
}

// Measures every row that is not masked, in the first bytes of the workspace.
inline row_scores scores_of_rows(const row_policy& policy, const input_matrix& student,
                                 const input_matrix& teacher, const vector_view<const float>& row_weights,
                                 const executor_ref& executor, workspace& memory) {
  row_measurement measured;
  for (const auto& [job, logits] :
       {std::pair{&measured.student, &student}, std::pair{&measured.teacher, &teacher}}) {
    job->logits = *logits;
    job->temperature = policy.temperature;
    job->weights = row_weights;
    job->labels = policy.labels;
    job->ignore_index = policy.ignore_index;
    job->unbiased = policy.unbiased;
  }
  measured.pair.student = student;
  measured.pair.teacher = teacher;
  measured.pair.temperature = policy.temperature;
  measured.pair.weights = row_weights;
  const std::size_t rows = student.rows, kept = round_up_to_line(2 * rows * sizeof(double));
  choose_entries(policy, rows, {}, measured);
  std::size_t most = 0;
  if (measured.of_student) most = plan_row_statistics(measured.student, executor).bytes();
  if (measured.of_teacher) most = std::max(most, plan_row_statistics(measured.teacher, executor).bytes());
  row_comparison_job probe = measured.pair;
  if (measured.of_pair) most = std::max(most, plan_row_comparison(probe, executor).bytes());
  const kept_and_scratch space(memory, kept, most);
  row_scores scores;
  scores.first = reinterpret_cast<double*>(space.kept);
  scores.second = scores.first + rows;
  choose_entries(policy, rows, scores, measured);
  for (const auto& [is_used, job] :
       {std::pair{measured.of_student, &measured.student}, std::pair{measured.of_teacher, &measured.teacher}})
    if (is_used) run_row_statistics(*job, plan_row_statistics(*job, executor), executor, space.scratch);
  if (measured.of_pair)
    run_row_comparison(measured.pair, plan_row_comparison(measured.pair, executor), executor, space.scratch);
  return scores;
}

}  // namespace distill::inline DISTILL_ABI::detail
