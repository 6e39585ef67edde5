#pragma once

#include <cstdint>
#include <distill/teacher/row_statistics_job.hpp>

namespace distill::inline DISTILL_ABI {

/// Where measure_rows writes what it is asked for: vectors of an entry for each row; an empty one is not
/// computed. Entropies, logarithms: nats, of softmax(logits / temperature). Length, mean and deviation: of
/// the logits as they are.
struct row_statistics {
  vector_view<double> log_sum_exp = {};            ///< log Σ exp(z / T)
  vector_view<double> entropy = {};                ///< -Σ p log p, in [0, log classes]
  vector_view<double> largest_probability = {};    ///< max p
  vector_view<std::int64_t> largest_class = {};    ///< of the largest logit; the lowest of equals; -1: none
  vector_view<double> label_log_probability = {};  ///< log p_label
  vector_view<double> other_probability = {};      ///< 1 - p_label, without the cancellation
  vector_view<double> mean = {};                   ///< of the logits that are not -inf
  vector_view<double> deviation = {};              ///< sqrt of the mean squared distance from that mean
  vector_view<double> length = {};                 ///< sqrt(Σ z²)
};

/// The last argument of measure_rows.
struct row_statistics_options {
  /// Divides the logits: finite, > 0.
  double temperature = 1;
  /// [rows] in [0, classes), or ignore_index; needed where an entry of the label is asked for.
  label_view labels = {};
  std::int64_t ignore_index = -100;
  /// [rows]; a row of weight 0 is never read, its entries are 0. Empty: every row counts.
  vector_view<const float> row_weights = {};
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once, per thread: 128 bytes a class
  /// up to 256 classes, or where classes are the strided direction; a row of the compute type where rows are
  /// strided or 16 bits wide; otherwise nothing.
  distill::workspace* workspace = nullptr;
};

/// Entropy, confidence, the label's probability, spread: what adaptive weights and temperatures are made of.
///
/// Shapes: logits [rows, classes], any strides and element type; every vector that is given [rows].
/// Throws: shape_error, parameter_error, layout_error, data_error (a label outside the classes), before
/// anything is written.
/// Special values: a logit of -inf has probability 0 and contributes 0. A row with NaN or +inf, or of -inf
/// only, has NaN in every entry and class -1. A row whose label is ignore_index has 0 in the label's entries.
/// Accuracy: relative error of the entropy, of max p and of 1 - p_label below 2e-6 for float and 16 bits,
/// 1e-13 for double; absolute error of the logarithms below 1e-6 (1 + (max z - min z) / T), 1e-14 for double
/// (`tests/teacher/row_statistics_test.cpp`). The entropy is the sum of log Σ exp and a mean that are both
/// not negative, so it keeps its digits where the row is sure.
/// Cost: a pass for the maximum, one with an exponential per logit, one more each for deviation and length.
/// The bits do not depend on the executor. The outputs may not overlap the logits or each other.
template <class Logits>
void measure_rows(Logits&& logits, const row_statistics& statistics,
                  const row_statistics_options& options = {}) {
  detail::row_statistics_job job;
  job.logits = detail::input_matrix(as_view(std::forward<Logits>(logits)));
  job.temperature = options.temperature;
  job.labels = options.labels;
  job.ignore_index = options.ignore_index;
  job.weights = options.row_weights;
  job.log_sum_exp = statistics.log_sum_exp;
  job.entropy = statistics.entropy;
  job.largest_probability = statistics.largest_probability;
  job.largest_class = statistics.largest_class;
  job.label_log_probability = statistics.label_log_probability;
  job.other_probability = statistics.other_probability;
  job.mean = statistics.mean;
  job.deviation = statistics.deviation;
  job.length = statistics.length;
  detail::evaluate_row_statistics("measure_rows", job, options.executor, options.workspace);
}

/// Where compare_rows writes what it is asked for; an empty vector is not computed.
struct row_comparison {
  vector_view<double> divergence = {};       ///< Σ p log(p / q), teacher p, student q; nats
  vector_view<double> cosine_distance = {};  ///< 1 - cos of the rows of logits, in [0, 2]
};

/// The last argument of compare_rows.
struct row_comparison_options {
  /// Divides both rows' logits in the divergence: finite, > 0.
  double temperature = 1;
  vector_view<const float> row_weights = {};  ///< as in row_statistics_options
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, per thread: 192 bytes a class up to
  /// 256 classes, or where classes are the strided direction; two rows of the compute type where rows are
  /// strided or of another type.
  distill::workspace* workspace = nullptr;
};

/// How far each student row is from its teacher's: the divergence as a number per row without a loss, and the
/// angle.
///
/// Shapes: student and teacher [rows, classes], any strides and element types; the vectors [rows].
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Special values: equal rows give exactly 0 in both. The divergence is +inf where p > 0 and q = 0, NaN where
/// a row has NaN or +inf or is all -inf. The angle leaves out classes where either logit is -inf; a row of
/// zeros is at distance 1 from any other, and at 0 from another row of zeros; NaN and +inf give NaN.
/// Accuracy: relative error of the divergence below 1e-5 for float and 16 bits, 1e-11 for double; of a
/// distance D an error below 3e-7 sqrt(D) and 1e-15 sqrt(D) (`tests/teacher/row_comparison_test.cpp`):
/// neither is a difference of larger numbers.
/// Cost: the divergence three passes and four exponentials per class, the distance two passes. The bits do
/// not depend on the executor.
template <class Student, class Teacher>
void compare_rows(Student&& student, Teacher&& teacher, const row_comparison& comparison,
                  const row_comparison_options& options = {}) {
  detail::row_comparison_job job;
  job.student = detail::input_matrix(as_view(std::forward<Student>(student)));
  job.teacher = detail::input_matrix(as_view(std::forward<Teacher>(teacher)));
  job.temperature = options.temperature;
  job.weights = options.row_weights;
  job.divergence = comparison.divergence;
  job.cosine_distance = comparison.cosine_distance;
  detail::evaluate_row_comparison("compare_rows", job, options.executor, options.workspace);
}

}  // namespace distill::inline DISTILL_ABI
