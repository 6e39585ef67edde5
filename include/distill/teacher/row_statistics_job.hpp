#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/label_view.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <distill/view/vector_view.hpp>
#include <utility>

namespace distill::inline DISTILL_ABI::detail {

/// Everything a kernel needs to measure a range of rows. An empty vector is not asked for.
struct row_statistics_job {
  input_matrix logits;
  double temperature = 1;
  label_view labels;
  std::int64_t ignore_index = -100;
  vector_view<const float> weights;
  vector_view<double> log_sum_exp, entropy, largest_probability, label_log_probability, other_probability,
      mean, deviation, length;
  vector_view<std::int64_t> largest_class;
  bool unbiased = false;     // the squared deviation is divided by one less
  bool across_rows = false;  // one row per lane
  std::size_t pitch = 0;     // elements of a scratch row or tile

  std::size_t rows() const { return logits.rows; }
  std::size_t classes() const { return logits.columns; }
  bool is_masked(std::size_t row) const { return !weights.empty() && weights[row] == 0; }
  bool needs_label() const { return !label_log_probability.empty() || !other_probability.empty(); }
  bool needs_exponentials() const {
    return !log_sum_exp.empty() || !entropy.empty() || !largest_probability.empty() || needs_label();
  }
  bool needs_spread() const { return !mean.empty() || !deviation.empty(); }
  bool needs_maximum() const { return needs_exponentials() || !largest_class.empty(); }
};

/// What is summed over a row: e = exp((z - maximum) / temperature).
struct row_sums {
  double maximum = 0;
  double at_maximum = 1;  // how many logits are the maximum
  double rest = 0;        // Σ e of the others
  double weighted = 0;    // Σ e (maximum - z) / temperature
  double counted = 0;     // logits that are not -inf
  double mean = 0, deviation = 0, length = 0;
};

/// Turns the sums into the entries of the row. All NaN where the row is no distribution.
void write_row_statistics(const row_statistics_job& job, std::size_t row, const row_sums& sums);
/// A row in double and without SIMD, where the kernels' range did not suffice.
row_sums resolve_row_sums(const row_statistics_job& job, std::size_t row);

void evaluate_row_statistics(const char* name, row_statistics_job& job, const executor_ref& executor,
                             workspace* memory);

/// The same for pairs of rows.
struct row_comparison_job {
  input_matrix student, teacher;
  double temperature = 1;
  vector_view<const float> weights;
  vector_view<double> divergence, cosine_distance;
  // Scratch rows, by index, of rows that the kernels cannot use where they are; -1: none.
  int student_copy = -1, teacher_copy = -1, copies = 0;
  bool across_rows = false;  // one row per lane, from tiles in scratch
  std::size_t pitch = 0;

  std::size_t rows() const { return student.rows; }
  std::size_t classes() const { return student.columns; }
  bool is_masked(std::size_t row) const { return !weights.empty() && weights[row] == 0; }
};

double resolve_divergence(const row_comparison_job& job, std::size_t row);
double resolve_cosine_distance(const row_comparison_job& job, std::size_t row);

void evaluate_row_comparison(const char* name, row_comparison_job& job, const executor_ref& executor,
                             workspace* memory);

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/row_statistics-inl.hpp>
#endif
