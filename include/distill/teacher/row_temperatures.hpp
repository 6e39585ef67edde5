#pragma once

#include <distill/teacher/row_policy_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The last argument of the policies that write the temperature of each row.
struct row_temperature_options {
  /// [rows] finite; a row of weight 0 is never read, is not in the mean, and has the middle temperature.
  /// Empty: every row counts.
  vector_view<const float> row_weights = {};
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once: 16 bytes a row, and what
  /// measure_rows or compare_rows needs.
  distill::workspace* workspace = nullptr;
};

namespace detail {
void evaluate_row_temperatures(const row_policy& policy, const temperature_rule& rule,
                               const input_matrix& student, const input_matrix& teacher,
                               vector_view<float> temperatures, const row_temperature_options& options);
}

// Each policy writes float temperatures [rows]. They are constants: no gradient passes through them.
//
// Common to all but spread_temperatures: τ_i = temperature + beta (mean w - w_i), cut to [lowest, highest]; w
// says how hard row i is, the mean is over the rows that count, and harder rows get lower temperatures, whose
// gradients weigh the leading classes more. A negative `beta` turns that around.
// Shapes: logits [rows, classes], any strides and element types; temperatures [rows].
// Options: `temperature` (finite, > 0), `beta` (finite), `lowest` (>= 1e-30), `highest` (>= lowest, <= 1e30).
// Throws: shape_error, parameter_error, layout_error, before anything is written.
// Special values: a row with NaN or +inf, or of -inf throughout, has the temperature NaN, which a loss
// refuses, naming the row; it is not in the mean.
// Accuracy: that of measure_rows and compare_rows, and the rounding to float. The bits do not depend on the
// executor.
// Source: Wen, Lai, Qian 2019, Preparing lessons: improve knowledge distillation with better supervision,
// arXiv 1911.07471 (dynamic temperature distillation).

/// w = 1 / (max softmax(student) + 0.001): hard is where the student is unsure (confidence weighted by
/// student max).
struct cwsm_temperatures {
  double temperature = 4, beta = 1, lowest = 1, highest = 10;

  template <class Student>
  void operator()(Student&& student, vector_view<float> temperatures,
                  const row_temperature_options& options = {}) const {
    detail::evaluate_row_temperatures(
        {.name = "cwsm_temperatures", .score = detail::row_score::inverse_confidence},
        {temperature, beta, lowest, highest}, detail::input_matrix(as_view(std::forward<Student>(student))),
        {}, temperatures, options);
  }
  bool operator==(const cwsm_temperatures&) const = default;
};

/// w = (1 - cos(student, teacher))^gamma of the rows of logits: hard is where they point apart (focal loss
/// style weights). `gamma` finite, >= 0.
struct flsw_temperatures {
  double temperature = 4, beta = 1, gamma = 1, lowest = 1, highest = 10;

  template <class Student, class Teacher>
  void operator()(Student&& student, Teacher&& teacher, vector_view<float> temperatures,
                  const row_temperature_options& options = {}) const {
    detail::evaluate_row_temperatures(
        {.name = "flsw_temperatures", .score = detail::row_score::angle, .gamma = gamma},
        {temperature, beta, lowest, highest}, detail::input_matrix(as_view(std::forward<Student>(student))),
        detail::input_matrix(as_view(std::forward<Teacher>(teacher))), temperatures, options);
  }
  bool operator==(const flsw_temperatures&) const = default;
};

/// w = H / log classes of the logits at temperature 1, usually the teacher's: hard is where it is unsure.
struct entropy_temperatures {
  double temperature = 4, beta = 1, lowest = 1, highest = 10;

  template <class Logits>
  void operator()(Logits&& logits, vector_view<float> temperatures,
                  const row_temperature_options& options = {}) const {
    detail::evaluate_row_temperatures({.name = "entropy_temperatures", .score = detail::row_score::entropy},
                                      {temperature, beta, lowest, highest},
                                      detail::input_matrix(as_view(std::forward<Logits>(logits))), {},
                                      temperatures, options);
  }
  bool operator==(const entropy_temperatures&) const = default;
};

/// τ_i = temperature * σ_i, cut to [lowest, highest]; σ_i the standard deviation of the row's logits that are
/// not -inf. softmax(z / τ_i) is then softmax of the standardised logits (z - mean) / σ at `temperature`:
/// teacher and student, each with its own, are compared by shape alone. `unbiased` divides by classes - 1 in
/// σ² (0 for one class).
/// Source: Sun et al. 2024, Logit standardization in knowledge distillation, arXiv 2403.01427.
struct spread_temperatures {
  double temperature = 2, lowest = 1e-3, highest = 1e3;
  bool unbiased = false;

  template <class Logits>
  void operator()(Logits&& logits, vector_view<float> temperatures,
                  const row_temperature_options& options = {}) const {
    detail::evaluate_row_temperatures(
        {.name = "spread_temperatures", .score = detail::row_score::deviation, .unbiased = unbiased},
        {.temperature = temperature, .beta = 0, .lowest = lowest, .highest = highest, .is_product = true},
        detail::input_matrix(as_view(std::forward<Logits>(logits))), {}, temperatures, options);
  }
  bool operator==(const spread_temperatures&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/row_policy-inl.hpp>
#endif
