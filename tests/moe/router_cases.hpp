// Routers for tests: random logits, their probabilities and choices in long double, from definitions alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <distill/error/error.hpp>
#include <distill/moe/balance_backward.hpp>
#include <distill/moe/count_statistics.hpp>
#include <distill/moe/expert_bias_update.hpp>
#include <distill/moe/expert_choice_gate.hpp>
#include <distill/moe/expert_usage.hpp>
#include <distill/moe/gshard_loss.hpp>
#include <distill/moe/hash_gate.hpp>
#include <distill/moe/importance_loss.hpp>
#include <distill/moe/load_loss.hpp>
#include <distill/moe/map_expert_logits.hpp>
#include <distill/moe/quantile_balancing.hpp>
#include <distill/moe/router_statistics.hpp>
#include <distill/moe/router_z_loss.hpp>
#include <distill/moe/sequence_balance_loss.hpp>
#include <distill/moe/switch_loss.hpp>
#include <distill/numeric/softmax.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "support/larger_error.hpp"
#include "support/random_logits.hpp"

namespace router_cases {

using real = long double;
constexpr double infinity = std::numeric_limits<double>::infinity();

inline std::vector<double> normal_values(std::size_t count, std::uint64_t seed, double deviation = 1) {
  support::random_source random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = deviation * random.normal();
  return values;
}

template <class T>
std::vector<T> converted(const std::vector<double>& values) {
  std::vector<T> result;
  for (const double value : values) result.push_back(T(static_cast<float>(value)));
  return result;
}

/// Rows of probabilities; sigmoid: each logit's own, not normalised.
inline std::vector<real> softmax_of(const std::vector<double>& logits, std::size_t experts) {
  std::vector<real> p(logits.size());
  for (std::size_t row = 0; row < logits.size(); row += experts) {
    real sum = 0, maximum = *std::max_element(logits.begin() + static_cast<std::ptrdiff_t>(row),
                                              logits.begin() + static_cast<std::ptrdiff_t>(row + experts));
    for (std::size_t i = row; i < row + experts; ++i)
      sum += p[i] = std::exp(static_cast<real>(logits[i]) - maximum);
    for (std::size_t i = row; i < row + experts; ++i) p[i] /= sum;
  }
  return p;
}
inline std::vector<real> sigmoid_of(const std::vector<double>& logits) {
  std::vector<real> s;
  for (const double z : logits) s.push_back(1 / (1 + std::exp(-static_cast<real>(z))));
  return s;
}
inline std::vector<real> normalised(std::vector<real> scores, std::size_t experts) {
  for (std::size_t row = 0; row < scores.size(); row += experts) {
    real sum = 0;
    for (std::size_t i = row; i < row + experts; ++i) sum += scores[i];
    for (std::size_t i = row; i < row + experts; ++i) scores[i] /= sum;
  }
  return scores;
}
template <class T>
std::vector<double> as_doubles(const std::vector<T>& values) {
  std::vector<double> result;
  for (const T value : values)
    if constexpr (sizeof(T) == 2)
      result.push_back(static_cast<double>(static_cast<float>(value)));
    else
      result.push_back(static_cast<double>(value));
  return result;
}

/// The k largest of each row, the largest first, equal ones in order.
inline std::vector<std::int32_t> top_k(const std::vector<double>& scores, std::size_t experts,
                                       std::size_t k) {
  std::vector<std::int32_t> ids;
  for (std::size_t row = 0; row < scores.size(); row += experts) {
    std::vector<std::int32_t> order(experts);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return scores[row + static_cast<std::size_t>(a)] > scores[row + static_cast<std::size_t>(b)];
    });
    ids.insert(ids.end(), order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k));
  }
  return ids;
}

/// router_statistics with memory of their own.
struct owned_statistics {
  std::vector<std::int64_t> assignments;
  std::vector<double> probability_sums;
  distill::router_statistics view;

  explicit owned_statistics(std::size_t experts) : assignments(experts), probability_sums(experts) {
    view.assignments = assignments;
    view.probability_sums = probability_sums;
  }
  owned_statistics(const owned_statistics&) = delete;
};

/// A batch: tokens, experts, k; doubles, so that derivatives can be taken by differences.
struct batch {
  std::size_t tokens, experts, k;
  std::vector<double> logits;
  std::vector<double> scores;
  std::vector<std::int32_t> ids;
  bool sigmoid;

  batch(std::size_t tokens_, std::size_t experts_, std::size_t k_, std::uint64_t seed, bool sigmoid_ = false)
      : tokens(tokens_),
        experts(experts_),
        k(k_),
        logits(normal_values(tokens * experts, seed, 1.5)),
        sigmoid(sigmoid_) {
    scores = scores_of(logits);
    ids = top_k(scores, experts, k);
  }
  std::vector<double> scores_of(const std::vector<double>& z) const {
    return as_doubles(sigmoid ? sigmoid_of(z) : softmax_of(z, experts));
  }
  distill::matrix_view<const std::int32_t> id_view(std::size_t begin = 0,
                                                   std::size_t count = std::size_t(-1)) const {
    return {ids.data() + begin * k, std::min(count, tokens - begin), k};
  }
  distill::matrix_view<const double> score_view(std::size_t begin = 0,
                                                std::size_t count = std::size_t(-1)) const {
    return {scores.data() + begin * experts, std::min(count, tokens - begin), experts};
  }
  distill::token_options options() const {
    distill::token_options result;
    result.scores = sigmoid ? distill::router_scores::sigmoid : distill::router_scores::softmax;
    return result;
  }
};

/// Central differences of f at every entry of x.
template <class F>
std::vector<double> differences(std::vector<double> x, F f, double step = 1e-5) {
  std::vector<double> result;
  for (double& entry : x) {
    const double at = entry;
    entry = at + step;
    const double above = f(x);
    entry = at - step;
    const double below = f(x);
    entry = at;
    result.push_back((above - below) / (2 * step));
  }
  return result;
}

/// The largest difference, relative to the largest entry of what is expected.
template <class A, class B>
double distance(const std::vector<A>& got, const std::vector<B>& expected) {
  real worst = got.size() == expected.size() ? 0 : std::numeric_limits<real>::infinity(), largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const real error = std::abs(static_cast<real>(got[i]) - static_cast<real>(expected[i]));
    worst = support::larger_error(worst, error);
    largest = std::max(largest, std::abs(static_cast<real>(expected[i])));
  }
  return static_cast<double>(largest > 0 ? worst / largest : worst);
}

}  // namespace router_cases
