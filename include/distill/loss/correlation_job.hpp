#pragma once

#include <distill/loss/correlation_options.hpp>
#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// The loss lowered to numbers.
struct correlation_loss {
  double temperature = 1, teacher_temperature = 1;
  bool temperature_squared = true;
  double beta = 1, gamma = 1;
};

/// What is kept of a row between the passes.
struct correlation_row {
  double student_maximum, student_norm;  // norm: 1 / Σ exp((z - maximum) / T)
  double teacher_maximum, teacher_norm;
  double distance;  // 1 - correlation
  double difference_slope, teacher_slope;
};

/// The same of the classes, one array each: the slope with respect to q of the classes' part is
/// difference_slope (q - p) + teacher_slope p + offset.
struct correlation_classes {
  double *distance = nullptr, *difference_slope = nullptr, *teacher_slope = nullptr, *offset = nullptr;
};

enum class correlation_step {
  rows,     // softmax of each row, and its correlation; runs over rows
  classes,  // correlation of each class; runs over blocks of block_classes classes
  gradient  // runs over rows
};

/// One pass over a batch, already checked.
struct correlation_job {
  static constexpr std::size_t block_classes = 64;  // what the executor counts in
  static constexpr std::size_t tile_classes = 256, tile_rows = 8;

  correlation_step step = correlation_step::rows;
  correlation_loss loss;
  input_matrix student, teacher;
  output_matrix gradient;  // no data: value only
  vector_view<const float> mask;
  std::size_t count = 0;                    // rows that are in
  correlation_row* rows = nullptr;          // [rows]
  correlation_classes classes;              // [classes]
  double row_factor = 0, class_factor = 0;  // beta / count, gamma / classes
  double gradient_factor = 0;               // weight T_t, or weight / T_s
  bool accumulate = false;
  std::size_t pitch = 0;  // elements of a scratch row, a multiple of every vector

  bool is_in(std::size_t row) const { return mask.empty() || mask[row] != 0; }
};

/// Value and gradient; checks the arguments first.
double evaluate_correlation(const correlation_loss& loss, const input_matrix& student,
                            const input_matrix& teacher, const output_matrix& gradient,
                            const correlation_options& options);

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/loss/correlation-inl.hpp>
#endif
