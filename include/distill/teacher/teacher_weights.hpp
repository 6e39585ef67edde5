#pragma once

#include <distill/loss/label_view.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/teacher/teacher_list.hpp>

namespace distill::inline DISTILL_ABI {

/// The last argument of the policies that weigh teachers row by row.
struct teacher_weight_options {
  /// [rows]; a row of weight 0 is never read, and its weights are 0. Empty: every row counts.
  vector_view<const float> row_weights = {};
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once: rows * teachers doubles, and
  /// what measure_rows needs.
  distill::workspace* workspace = nullptr;
};

// Each policy gives every teacher a score in every row and writes [rows, teachers] weights that sum to 1,
// which are `weights_of_rows` of mixing_options: softmax over the teachers of score / sharpness. A small
// `sharpness` picks the best teacher, a large one treats all alike.
//
// Common to all.
// Shapes: teachers [rows, classes], weights [rows, teachers] of any element type. Weights are constants: no
// gradient passes through them.
// Options: `temperature` of the distributions that are scored (finite, > 0), `sharpness` (finite, > 0).
// Throws: shape_error, parameter_error, layout_error, data_error, before anything is written.
// Special values: a row where a teacher has NaN or +inf, or -inf throughout, has NaN weights, which mixing
// refuses, naming the row; masked rows have 0.
// Cost: measure_rows of each teacher. The bits do not depend on the executor.

/// The surer a teacher, the more it counts: score -H(p_i), the entropy in nats.
/// Source: Kwon, Na, Lee, Kim 2020, Adaptive knowledge distillation based on entropy, ICASSP.
struct weights_by_entropy {
  double temperature = 1;
  double sharpness = 1;

  template <class Weights>
  void operator()(const teacher_list& teachers, Weights&& weights,
                  const teacher_weight_options& options = {}) const {
    evaluate(teachers, detail::written_to(std::forward<Weights>(weights)), options);
  }
  void evaluate(const teacher_list& teachers, const detail::output_matrix& weights,
                const teacher_weight_options& options) const;
  bool operator==(const weights_by_entropy&) const = default;
};

/// By the probability of each teacher's first choice: score log max p_i, so that with `sharpness` 1 the
/// weights are proportional to the confidences.
struct weights_by_confidence {
  double temperature = 1;
  double sharpness = 1;

  template <class Weights>
  void operator()(const teacher_list& teachers, Weights&& weights,
                  const teacher_weight_options& options = {}) const {
    evaluate(teachers, detail::written_to(std::forward<Weights>(weights)), options);
  }
  void evaluate(const teacher_list& teachers, const detail::output_matrix& weights,
                const teacher_weight_options& options) const;
  bool operator==(const weights_by_confidence&) const = default;
};

/// By what each teacher gives the label: score log p_i(label), so that with `sharpness` 1 the weights are
/// proportional to the label's probabilities. A row whose label is `ignore_index` has equal weights.
struct weights_by_label {
  label_view labels = {};
  double temperature = 1;
  double sharpness = 1;
  std::int64_t ignore_index = -100;

  template <class Weights>
  void operator()(const teacher_list& teachers, Weights&& weights,
                  const teacher_weight_options& options = {}) const {
    evaluate(teachers, detail::written_to(std::forward<Weights>(weights)), options);
  }
  void evaluate(const teacher_list& teachers, const detail::output_matrix& weights,
                const teacher_weight_options& options) const;
  bool operator==(const weights_by_label&) const = default;
};

/// By the teachers' cross-entropies L_i with the label: (1 - exp(L_i) / Σ_j exp(L_j)) / (teachers - 1), at
/// least 0. One teacher has weight 1. Flatter than weights_by_label: no teacher has more than 1 / (teachers -
/// 1). Where exp(L) overflows for several teachers, they share the loss as a softmax of L does. A row whose
/// label is `ignore_index` has equal weights.
/// Source: Zhang, Chen, Wang 2022, Confidence-aware multi-teacher knowledge distillation, arXiv 2201.00007.
struct ca_mkd_weights {
  label_view labels = {};
  double temperature = 1;
  std::int64_t ignore_index = -100;

  template <class Weights>
  void operator()(const teacher_list& teachers, Weights&& weights,
                  const teacher_weight_options& options = {}) const {
    evaluate(teachers, detail::written_to(std::forward<Weights>(weights)), options);
  }
  void evaluate(const teacher_list& teachers, const detail::output_matrix& weights,
                const teacher_weight_options& options) const;
  bool operator==(const ca_mkd_weights&) const = default;
};

/// By agreement with the others: score -KL(p_i || mean of all p), the mean with equal weights.
struct weights_by_agreement {
  double temperature = 1;
  double sharpness = 1;

  template <class Weights>
  void operator()(const teacher_list& teachers, Weights&& weights,
                  const teacher_weight_options& options = {}) const {
    evaluate(teachers, detail::written_to(std::forward<Weights>(weights)), options);
  }
  void evaluate(const teacher_list& teachers, const detail::output_matrix& weights,
                const teacher_weight_options& options) const;
  bool operator==(const weights_by_agreement&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/teacher_weights-inl.hpp>
#endif
