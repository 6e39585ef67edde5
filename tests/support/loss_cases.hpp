// Each loss of the library beside the oracle's formula with the same parameters.
#pragma once

#include <cstdint>
#include <distill/loss/adaptive_kl.hpp>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/corrected_kl.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/decoupled_kl.hpp>
#include <distill/loss/divergence.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/loss_term.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/standardized_kl.hpp>
#include <distill/loss/taid_kl.hpp>
#include <distill/loss/total_variation.hpp>
#include <memory>
#include <string>
#include <vector>

#include "support/oracle.hpp"

namespace support {

/// A user's divergence: Σ (q - p)² / p.
struct pearson_chi2 {
  template <class T>
  T value(T p, T q) const {
    return (q - p) * (q - p) / p;
  }
  template <class T>
  T slope(T p, T q) const {
    return 2 * (q - p) / p;
  }
  template <class T>
  T teacher_slope(T p, T q) const {
    return (p - q) * (p + q) / (p * p);
  }
};

/// One loss or a sum of them, callable like a loss.
struct loss_case {
  std::string name;
  std::vector<distill::loss_term> terms;
  std::vector<oracle::loss> formulas;
  std::shared_ptr<const std::vector<std::int64_t>> labels = nullptr;  // keeps what terms view

  double operator()(const distill::detail::input_matrix& student,
                    const distill::detail::input_matrix& teacher,
                    const distill::detail::output_matrix& gradient = {},
                    const distill::row_options& rows = {}) const {
    return distill::evaluate(terms.size() == 1 ? terms[0].name : "objective", terms, student, teacher,
                             gradient, rows);
  }
  bool is(distill::loss_kind kind) const { return terms.size() == 1 && terms[0].kind == kind; }
  /// Whether its gradient holds something constant that depends on the student, and is no derivative of its value.
  bool holds_constant() const {
    return is(distill::loss_kind::adaptive_kl) || (is(distill::loss_kind::taid_kl) && terms[0].alpha < 1);
  }
};

oracle::loss formula_of(const distill::loss_term& term);

template <class L>
loss_case case_of(const L& loss) {
  const distill::loss_term term = loss.term();
  return {distill::to_string(term), {term}, {formula_of(term)}};
}

/// Labels 0, 7, 14, ... modulo the classes, every fifth of them ignored if asked for.
loss_case cross_entropy_case(std::size_t rows, std::size_t classes, double temperature = 1,
                             double smoothing = 0, bool ignore_some = false);
/// 0.7 forward_kl + 0.3 cross_entropy, and a longer one.
loss_case short_objective_case(std::size_t rows, std::size_t classes);
loss_case long_objective_case(std::size_t rows, std::size_t classes);

/// Sums whose parts share their temperatures, so that they share a visit of each row: every way the parts are
/// combined.
inline constexpr std::size_t shared_objective_cases = 7;
loss_case shared_objective_case(std::size_t which, std::size_t rows, std::size_t classes);

/// The losses that transform a row first, with their default parameters; taid_kl between student and teacher.
std::vector<loss_case> transforming_cases(std::size_t rows, std::size_t classes);
/// Every loss with its default parameters.
std::vector<loss_case> default_cases(std::size_t rows, std::size_t classes);
/// Every loss with several parameters: temperatures, with and without T², and the limits of alpha_beta.
std::vector<loss_case> all_cases(std::size_t rows, std::size_t classes);

}  // namespace support
