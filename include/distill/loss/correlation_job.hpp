#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// The loss lowered to numbers.
struct correlation_loss {
  row_temperature temperature = 1, teacher_temperature = 1;
  bool temperature_squared = true;
  double beta = 1, gamma = 1;

  double scale(std::size_t row) const {
    return temperature_squared ? temperature[row] * teacher_temperature[row] : 1;
  }
};

/// The slope of 1 - correlation with respect to one of the two, a, beside the other, b: difference_slope
/// (a - b) + other_slope b, both centred.
struct correlation_slope {
  double difference_slope, other_slope;
};

/// What is kept of a row between the passes.
struct correlation_row {
  double student_maximum, student_norm;  // norm: 1 / Σ exp((z - maximum) / T)
  double teacher_maximum, teacher_norm;
  double distance;            // 1 - correlation
  correlation_slope student;  // times the row's factor
  correlation_slope teacher;  // the same; for slopes by the temperature only
};

/// The same of the classes, one array each: the slope with respect to q of the classes' part is
/// difference_slope (q - p) + other_slope p + offset.
struct correlation_class_slopes {
  double *difference_slope = nullptr, *other_slope = nullptr, *offset = nullptr;
};

enum class correlation_step {
  rows,                // softmax of each row, and its correlation; runs over rows
  classes,             // correlation of each class; runs over blocks of block_classes classes
  temperature_slopes,  // runs over rows
  gradient             // runs over rows
};

/// One pass over a batch, already checked.
struct correlation_job {
  static constexpr std::size_t block_classes = 64;  // what the executor counts in
  static constexpr std::size_t tile_classes = 256, tile_rows = 8;

  correlation_step step = correlation_step::rows;
  correlation_loss loss;
  input_matrix student, teacher;
  output_matrix gradient;  // no data: value only
  vector_view<const float> weights;
  vector_view<double> temperature_slopes;  // out, unless it is empty
  double weight_sum = 0;
  double scale = 1;                          // T² of the first row that counts
  double class_share = 0;                    // Σ weight T² / denominator, relative to it
  correlation_row* rows = nullptr;           // [rows]
  double* class_distances = nullptr;         // [classes]
  correlation_class_slopes student_classes;  // [classes]
  correlation_class_slopes teacher_classes;  // [classes], with temperature_slopes
  double row_factor = 0, class_factor = 0;   // beta / denominator, gamma / classes
  double class_distance = 0;                 // gamma times the mean over the classes
  double inverse_denominator = 0;
  bool accumulate = false;
  std::size_t pitch = 0;  // elements of a scratch row, a multiple of every vector

  double weight(std::size_t row) const { return weights.empty() ? 1 : static_cast<double>(weights[row]); }
  bool is_in(std::size_t row) const { return weights.empty() || weights[row] != 0; }
  /// A row's T² relative to that of the first: exactly 1 where they are the same.
  double share(std::size_t row) const {
    const double own = loss.scale(row);
    return own == scale ? 1 : own / scale;
  }
  /// Of a row, before its weight and T².
  double distance(std::size_t row) const { return loss.beta * rows[row].distance + class_distance; }
  /// What multiplies the slopes of the classes in a row, beside its T².
  double class_weight(std::size_t row) const { return weight(row) * (class_share / share(row)); }
};

/// Value and gradient; checks the arguments first.
double evaluate_correlation(const correlation_loss& loss, const input_matrix& student,
                            const input_matrix& teacher, const output_matrix& gradient,
                            const row_options& rows);

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/loss/correlation-inl.hpp>
#endif
