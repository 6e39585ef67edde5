#pragma once

#include <distill/teacher/row_statistics_job.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// What a row's weight or temperature is made from.
enum class row_score {
  entropy,             // H / log classes
  certainty,           // 1 - H / log classes
  both_entropies,      // H of teacher and student, as they are
  ea_kd,               // (H_t + H_t H_s / log classes) / 2
  label_probability,   // p_label
  right_label,         // whether the largest logit is the label's
  focal,               // (1 - p_label)^gamma
  focal_divergence,    // (1 - exp(-(KL + beta H_t)))^gamma
  inverse_confidence,  // 1 / (max p + 1e-3)
  angle,               // (1 - cos)^gamma
  deviation            // of the logits
};

/// A policy lowered to numbers: what crosses into compiled code.
struct row_policy {
  const char* name = "";
  row_score score = row_score::entropy;
  double temperature = 1;
  double gamma = 1, beta = 0;
  double right = 1, wrong = 0;
  bool unbiased = false;
  label_view labels = {};
  std::int64_t ignore_index = -100;

  bool uses_labels() const {
    return score == row_score::label_probability || score == row_score::right_label ||
           score == row_score::focal;
  }
  bool compares() const {
    return score == row_score::both_entropies || score == row_score::ea_kd ||
           score == row_score::focal_divergence || score == row_score::angle;
  }
};

/// How a row's score becomes its temperature.
struct temperature_rule {
  double temperature = 1, beta = 1, lowest = 1, highest = 10;
  bool is_product = false;  // temperature * score, instead of temperature + beta (mean score - score)
};

}  // namespace distill::inline DISTILL_ABI::detail
