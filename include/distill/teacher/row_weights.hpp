#pragma once

#include <distill/teacher/row_policy_job.hpp>

namespace distill::inline DISTILL_ABI {

/// The last argument of the policies that write the weight of each row.
struct row_weight_options {
  /// [rows] finite factors: what is written is the policy's weight times this. A row of 0 is never read and
  /// stays 0. May be exactly the written weights. Empty: every row has factor 1.
  vector_view<const float> row_weights = {};
  /// Divide by the mean of the policy's weights over the rows that count (factor not 0, label not ignored),
  /// before the factors: the loss keeps its size. Weights that are all 0 stay 0; rows that are not finite are
  /// left out of the mean.
  bool normalize = false;
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once: 16 bytes a row, and what
  /// measure_rows or compare_rows needs.
  distill::workspace* workspace = nullptr;
};

namespace detail {
void evaluate_row_weights(const row_policy& policy, const input_matrix& student, const input_matrix& teacher,
                          vector_view<float> weights, const row_weight_options& options);
void evaluate_balance_weights(const row_policy& policy, double factor, const input_matrix& student,
                              const input_matrix& teacher, vector_view<float> forward,
                              vector_view<float> reverse, const row_weight_options& options);
}  // namespace detail

// Each policy writes float weights [rows], which are `row_weights` of a loss. They are constants: no gradient
// passes through them.
//
// Common to all.
// Shapes: logits [rows, classes], any strides and element types; weights [rows].
// Options: `temperature` of the distributions that are looked at (finite, > 0).
// Throws: shape_error, parameter_error, layout_error, data_error (a label outside the classes), before
// anything is written.
// Special values: a row with NaN or +inf, or of -inf throughout, has the weight NaN, which a loss refuses,
// naming the row; a row whose label is `ignore_index` has weight 0; one class has entropy 0, and so H / log
// classes is 0.
// Accuracy: that of measure_rows and compare_rows, and the rounding to float.
// Cost: theirs. The bits do not depend on the executor.

/// H / log classes in [0, 1] of any logits: of the teacher, where rows that it is unsure of teach more; of
/// the student, where training goes to what it does not know yet. With `prefer_sure`, 1 - H / log classes.
struct entropy_weight {
  double temperature = 1;
  bool prefer_sure = false;

  template <class Logits>
  void operator()(Logits&& logits, vector_view<float> weights, const row_weight_options& options = {}) const {
    detail::evaluate_row_weights(policy(), detail::input_matrix(as_view(std::forward<Logits>(logits))), {},
                                 weights, options);
  }
  detail::row_policy policy() const {
    return {.name = "entropy_weight",
            .score = prefer_sure ? detail::row_score::certainty : detail::row_score::entropy,
            .temperature = temperature};
  }
  bool operator==(const entropy_weight&) const = default;
};

/// (H_t + H_t H_s / log classes) / 2, H_t and H_s the entropies of teacher and student: what is worth
/// learning, and more so while the student is unsure.
/// Source: Su et al. 2023, Entropy-based adaptive knowledge distillation, arXiv 2311.13621; temperature 3 as
/// there.
struct ea_kd_weight {
  double temperature = 3;

  template <class Student, class Teacher>
  void operator()(Student&& student, Teacher&& teacher, vector_view<float> weights,
                  const row_weight_options& options = {}) const {
    detail::evaluate_row_weights(policy(), detail::input_matrix(as_view(std::forward<Student>(student))),
                                 detail::input_matrix(as_view(std::forward<Teacher>(teacher))), weights,
                                 options);
  }
  detail::row_policy policy() const {
    return {.name = "ea_kd_weight", .score = detail::row_score::ea_kd, .temperature = temperature};
  }
  bool operator==(const ea_kd_weight&) const = default;
};

/// The probability that the logits give the label: a teacher is followed as far as it is right.
struct label_probability_weight {
  label_view labels = {};
  double temperature = 1;
  std::int64_t ignore_index = -100;

  template <class Logits>
  void operator()(Logits&& logits, vector_view<float> weights, const row_weight_options& options = {}) const {
    detail::evaluate_row_weights(policy(), detail::input_matrix(as_view(std::forward<Logits>(logits))), {},
                                 weights, options);
  }
  detail::row_policy policy() const {
    return {.name = "label_probability_weight",
            .score = detail::row_score::label_probability,
            .temperature = temperature,
            .labels = labels,
            .ignore_index = ignore_index};
  }
  bool operator==(const label_probability_weight&) const = default;
};

/// `right` where the largest logit is the label's, the lowest class of equals counting as the largest;
/// `wrong` elsewhere. Both finite and >= 0. The default drops the rows where the teacher errs.
struct right_label_weight {
  label_view labels = {};
  double right = 1, wrong = 0;
  std::int64_t ignore_index = -100;

  template <class Logits>
  void operator()(Logits&& logits, vector_view<float> weights, const row_weight_options& options = {}) const {
    detail::evaluate_row_weights(policy(), detail::input_matrix(as_view(std::forward<Logits>(logits))), {},
                                 weights, options);
  }
  detail::row_policy policy() const {
    return {.name = "right_label_weight",
            .score = detail::row_score::right_label,
            .right = right,
            .wrong = wrong,
            .labels = labels,
            .ignore_index = ignore_index};
  }
  bool operator==(const right_label_weight&) const = default;
};

/// (1 - q_label)^gamma of the student: rows it has learned count for less. `gamma` finite, >= 0; 0 weighs all
/// alike.
/// Source: Lin et al. 2017, Focal loss for dense object detection, arXiv 1708.02002, equation 4.
struct focal_weight {
  label_view labels = {};
  double gamma = 2;
  double temperature = 1;
  std::int64_t ignore_index = -100;

  template <class Logits>
  void operator()(Logits&& logits, vector_view<float> weights, const row_weight_options& options = {}) const {
    detail::evaluate_row_weights(policy(), detail::input_matrix(as_view(std::forward<Logits>(logits))), {},
                                 weights, options);
  }
  detail::row_policy policy() const {
    return {.name = "focal_weight",
            .score = detail::row_score::focal,
            .temperature = temperature,
            .gamma = gamma,
            .labels = labels,
            .ignore_index = ignore_index};
  }
  bool operator==(const focal_weight&) const = default;
};

/// (1 - exp(-(KL(p || q) + beta H_t)))^gamma: without labels, rows count for as much as the student is far
/// from the teacher and, with `beta`, as the teacher is unsure. `gamma`, `beta` finite, >= 0. An infinite
/// divergence gives 1.
/// Source: Tang et al. 2019, Learning efficient detector with semi-supervised adaptive distillation, arXiv
/// 1901.00366.
struct focal_divergence_weight {
  double gamma = 2, beta = 0;
  double temperature = 1;

  template <class Student, class Teacher>
  void operator()(Student&& student, Teacher&& teacher, vector_view<float> weights,
                  const row_weight_options& options = {}) const {
    detail::evaluate_row_weights(policy(), detail::input_matrix(as_view(std::forward<Student>(student))),
                                 detail::input_matrix(as_view(std::forward<Teacher>(teacher))), weights,
                                 options);
  }
  detail::row_policy policy() const {
    return {.name = "focal_divergence_weight",
            .score = detail::row_score::focal_divergence,
            .temperature = temperature,
            .gamma = gamma,
            .beta = beta};
  }
  bool operator==(const focal_divergence_weight&) const = default;
};

/// Which divergence to strengthen in a row: `factor` (finite, >= 1) on the forward one where the teacher has
/// the larger entropy, on the reverse one where the student has; the other, and both where they are equal, 1.
/// Two vectors of weights, for forward_kl and reverse_kl, each normalised by itself.
/// Source: Amara et al. 2022, BD-KD: Balancing the divergences for online knowledge distillation, arXiv
/// 2212.12965.
struct bd_kd_weights {
  double temperature = 1;
  double factor = 2;

  template <class Student, class Teacher>
  void operator()(Student&& student, Teacher&& teacher, vector_view<float> forward,
                  vector_view<float> reverse, const row_weight_options& options = {}) const {
    const detail::row_policy policy{
        .name = "bd_kd_weights", .score = detail::row_score::both_entropies, .temperature = temperature};
    detail::evaluate_balance_weights(
        policy, factor, detail::input_matrix(as_view(std::forward<Student>(student))),
        detail::input_matrix(as_view(std::forward<Teacher>(teacher))), forward, reverse, options);
  }
  bool operator==(const bd_kd_weights&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/teacher/row_policy-inl.hpp>
#endif
