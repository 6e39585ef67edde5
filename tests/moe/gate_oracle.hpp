// The independent answer for top-k gates: long double, sorting, numerical differentiation. Sees none of the
// library's headers.
#pragma once

#include <cstdint>
#include <vector>

namespace gate_oracle {

using real = long double;
using row = std::vector<real>;

enum class scoring { softmax_then_top_k, top_k_then_softmax, sigmoid, sqrt_softplus };
enum class group_score { maximum, two_largest, share_of_top_k };

struct gate {
  std::size_t k = 2;
  scoring score = scoring::softmax_then_top_k;
  bool renormalize = true;
  real scale = 1;
  row bias = {};
  std::size_t groups = 1, kept_groups = 1;
  group_score by = group_score::maximum;
  real largest = 3.402823466385288598e38L;  ///< finite number of the logits' type
};

/// Into the finite numbers, NaN to the lowest.
row finite(const gate& how, row z);
/// What experts are chosen by, -infinity for those of groups that are not kept.
row choice_values(const gate& how, const row& z);
/// The k largest, lower index first among equals.
std::vector<std::int32_t> choose(const gate& how, const row& z);
/// Weights of these experts; 0 for -1.
row weights(const gate& how, const row& z, const std::vector<std::int32_t>& experts);
/// Softmax, or scores over their sum.
row probabilities(const gate& how, const row& z);
real log_sum_exp(const gate& how, const row& z);

/// What a token adds to a loss: Σ g w + Σ a p + β lse².
struct loss {
  row g, a;  // empty: none
  real beta = 0;
};
/// Its gradient by central differences.
row gradient(const gate& how, const row& z, const std::vector<std::int32_t>& experts, const loss& of);

}  // namespace gate_oracle
