#pragma once

#include <distill/numeric/softmax_job.hpp>
#include <distill/teacher/mixing_options.hpp>
#include <distill/teacher/teacher_list.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class mixing_kind { probabilities, log_probabilities, logits, divergences };

/// How much each teacher counts in a row; the shares sum to 1, or are all 0.
struct teacher_shares {
  std::array<double, teacher_list::capacity> share = {};
  bool is_empty = true;
};

/// Everything a kernel needs to mix a range of rows, already checked.
struct mixing_job {
  mixing_kind kind = mixing_kind::probabilities;
  teacher_list teachers;
  output_matrix output;  // [rows, classes], or [rows, teachers] for divergences
  double temperature = 1;
  vector_view<const double> weights;
  input_matrix weights_of_rows;
  matrix_view<const std::int32_t> chosen;
  vector_view<const float> row_weights;
  // Scratch rows of the compute type, by index; -1: none.
  std::array<int, teacher_list::capacity> copies = {};
  int output_copy = -1, copy_count = 0;
  bool across_rows = false;  // one row per lane: tiles take the place of the rows
  bool is_flat = false;      // logits alone, all alike and without gaps: a range of rows is one row
  std::size_t pitch = 0;     // elements from one to the next

  std::size_t rows() const { return teachers[0].rows; }
  std::size_t classes() const { return teachers[0].columns; }
  /// Whether `chosen` names the teachers of each row.
  bool is_routed() const { return chosen.data_handle() != nullptr || chosen.rows() > 0; }
  bool is_masked(std::size_t row) const { return !row_weights.empty() && row_weights[row] == 0; }
};

teacher_shares shares_of_row(const mixing_job& job, std::size_t row);
/// A row in double and without SIMD, where the kernels' range did not suffice; NaN where a teacher that
/// counts has no distribution.
void resolve_mixed_row(const mixing_job& job, const teacher_shares& shares, std::size_t row);

/// Checks the arguments and runs the rows.
void evaluate_mixing(mixing_kind kind, const teacher_list& teachers, const output_matrix& output,
                     double temperature, const mixing_options& options);

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/mixing-inl.hpp>
#endif
