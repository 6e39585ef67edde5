#pragma once

#include <cstdint>
#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// The loss lowered to numbers.
struct universal_logit_loss {
  row_temperature temperature = 1, teacher_temperature = 1;
  bool temperature_squared = true;

  double scale(std::size_t row) const {
    return temperature_squared ? temperature[row] * teacher_temperature[row] : 1;
  }
};

/// Everything a kernel needs to evaluate a range of rows, already checked.
struct universal_logit_job {
  universal_logit_loss loss;
  input_matrix student, teacher;
  output_matrix gradient;  // no data: value only
  vector_view<const float> weights;
  double factor = 1;                       // 1 / denominator
  double* values = nullptr;                // [rows] out: before the weight
  vector_view<double> temperature_slopes;  // out, unless it is empty
  bool accumulate = false;

  // A worker's scratch: the sorted probabilities of both, then two places of two rows each for sorting, then,
  // for slopes by the temperature, the sorted logits of both; all in the compute type and `pitch` long. Then
  // counters.
  static constexpr std::size_t counter_bytes = 6 * 2048 * sizeof(std::uint32_t);
  std::size_t scratch_rows() const { return temperature_slopes.empty() ? 6 : 8; }
  std::size_t pitch = 0;

  std::size_t rows() const { return student.rows; }
  std::size_t longest() const {
    return student.columns > teacher.columns ? student.columns : teacher.columns;
  }
  float weight(std::size_t row) const { return weights.empty() ? 1.0f : weights[row]; }
};

/// Value and gradient; checks the arguments first.
double evaluate_universal_logit(const universal_logit_loss& loss, const input_matrix& student,
                                const input_matrix& teacher, const output_matrix& gradient,
                                const row_options& rows);

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/loss/universal_logit-inl.hpp>
#endif
