#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "problem/problem.hpp"

/// The answers, in long double and straight from the formulas; nothing of the library is included here.
namespace benchmarks {

struct row_logits {
  std::span<const long double> student;
  std::span<const long double> teacher;
  std::size_t label;
};

/// Writes the row's part of the output and returns its part of the value.
using row_rule = std::function<long double(const row_logits&, std::span<long double> output)>;

/// All rows at once, row-major.
struct batch_logits {
  shape extent;
  std::span<const long double> student;
  std::span<const long double> teacher;
};

/// Writes the whole output and returns the value.
using batch_rule = std::function<long double(const batch_logits&, std::span<long double> output)>;

struct oracle_rule {
  std::string name;
  row_rule row;                ///< empty, as is `batch`: there is nothing to compare
  bool mean_over_rows = true;  ///< value and output are divided by the number of rows
  bool has_value = true;
  bool has_output = true;
  bool one_output_per_row = false;
  batch_rule batch = {};  ///< instead of `row`, where rows depend on each other

  bool is_empty() const { return !row && !batch; }
};

struct expected_answer {
  double value = 0;
  std::vector<double> output;  ///< row-major
  double largest_output = 0;
};

template <class Element>
expected_answer solve(const oracle_rule& rule, const problem<Element>& task, std::size_t rows);

namespace oracle {

// Losses at one temperature T for both models; those on probabilities are multiplied by T^2.
oracle_rule forward_kl(long double temperature);
oracle_rule reverse_kl(long double temperature);
oracle_rule jensen_shannon(long double temperature, long double beta);
oracle_rule skewed_forward_kl(long double temperature, long double alpha);
oracle_rule skewed_reverse_kl(long double temperature, long double alpha);
oracle_rule total_variation(long double temperature);
oracle_rule alpha_beta(long double temperature, long double alpha, long double beta);
oracle_rule soft_cross_entropy(long double temperature);
oracle_rule cross_entropy();
oracle_rule logit_mse();
// At T = 1: sorted probabilities; pairs of the teacher's largest logits, with a margin of 1.
oracle_rule universal_logit();
oracle_rule ranking_hinge(std::size_t classes);
oracle_rule ranking_logistic(std::size_t classes);
// With labels, or a target made of student and teacher.
oracle_rule decoupled_kl(long double temperature, long double alpha, long double beta);
oracle_rule standardized_kl(long double temperature);
oracle_rule taid_kl(long double temperature, long double interpolation);
oracle_rule corrected_kl(long double temperature, long double threshold);
oracle_rule adaptive_kl(long double temperature, long double head_mass);
// Within rows and within classes, at T = 1; flow between the first channels and the others, `positions` rows
// to a sample.
oracle_rule correlation();
oracle_rule fsp(std::size_t positions, std::size_t first);
oracle_rule weighted_sum(std::vector<std::pair<long double, oracle_rule>> terms);
oracle_rule value_only(oracle_rule rule);

// Of the student's logits at T = 1.
oracle_rule softmax();
oracle_rule log_softmax();
oracle_rule log_sum_exp();
/// softmax(teacher) - softmax(student), neither scaled nor averaged: what a log_softmax backward leaves.
oracle_rule probability_difference();

// Student and teacher as two teachers of equal weight: logarithms of means, and the mean of logits.
oracle_rule mean_of_probabilities(long double temperature);
oracle_rule mean_of_log_probabilities(long double temperature);
oracle_rule mean_of_logits();
// One number for each row: of the student's logits, KL(teacher || student), and a weight made of both
// entropies.
oracle_rule entropy();
oracle_rule row_divergence();
oracle_rule ea_kd_weight(long double temperature);

// Of hidden states, without a temperature; Huber bends at 1.
oracle_rule hidden_mse();
oracle_rule hidden_huber();
oracle_rule hidden_cosine();
oracle_rule normalized_mse();

oracle_rule nothing();

}  // namespace oracle
}  // namespace benchmarks
