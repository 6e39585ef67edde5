#include <algorithm>
#include <cmath>
#include <numeric>

#include "oracle/oracle.hpp"

namespace benchmarks::oracle {
namespace {

std::vector<std::size_t> ranking_of(std::span<const long double> logits) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  return order;
}

std::vector<long double> softmax_of(std::span<const long double> logits) {
  const long double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<long double> result(logits.size());
  long double sum = 0;
  for (std::size_t i = 0; i < result.size(); ++i) sum += result[i] = std::exp(logits[i] - largest);
  for (long double& p : result) p /= sum;
  return result;
}

/// `pair(x)` gives the loss of a difference of logits and its derivative.
template <class Pair>
oracle_rule ranking(const char* name, std::size_t classes, Pair pair) {
  return {name, [=](const row_logits& row, std::span<long double> gradient) {
            auto order = ranking_of(row.teacher);
            order.resize(std::min(classes, order.size()));
            std::fill(gradient.begin(), gradient.end(), 0.0L);
            const long double pairs = static_cast<long double>(order.size() * (order.size() - 1) / 2);
            long double value = 0;
            for (std::size_t i = 0; i < order.size(); ++i)
              for (std::size_t j = i + 1; j < order.size(); ++j) {
                const auto [loss, slope] = pair(row.student[order[i]] - row.student[order[j]]);
                value += loss / pairs;
                gradient[order[i]] += slope / pairs;
                gradient[order[j]] -= slope / pairs;
              }
            return value;
          }};
}

}  // namespace

oracle_rule universal_logit() {
  return {"universal_logit", [](const row_logits& row, std::span<long double> gradient) {
            const auto q = softmax_of(row.student), p = softmax_of(row.teacher);
            const auto by_q = ranking_of(row.student), by_p = ranking_of(row.teacher);
            long double value = 0, mean = 0;
            for (std::size_t j = 0; j < q.size(); ++j) {
              const long double difference = q[by_q[j]] - p[by_p[j]];
              value += std::abs(difference);
              gradient[by_q[j]] = difference > 0 ? 1 : difference < 0 ? -1 : 0;
            }
            for (std::size_t i = 0; i < q.size(); ++i) mean += q[i] * gradient[i];
            for (std::size_t i = 0; i < q.size(); ++i) gradient[i] = q[i] * (gradient[i] - mean);
            return value;
          }};
}

oracle_rule ranking_hinge(std::size_t classes) {
  return ranking("ranking_hinge", classes, [](long double x) {
    return std::pair<long double, long double>{std::max(0.0L, 1 - x), x < 1 ? -1 : 0};
  });
}

oracle_rule ranking_logistic(std::size_t classes) {
  return ranking("ranking_logistic", classes, [](long double x) {
    return std::pair<long double, long double>{std::log1p(std::exp(-x)), -1 / (1 + std::exp(x))};
  });
}

}  // namespace benchmarks::oracle
