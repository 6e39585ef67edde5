#include <algorithm>
#include <cmath>

#include "oracle/oracle.hpp"

namespace benchmarks::oracle {
namespace {

using numbers = std::vector<long double>;

numbers log_softmax_of(std::span<const long double> logits, long double temperature) {
  numbers z(logits.begin(), logits.end());
  for (long double& x : z) x /= temperature;
  const long double largest = *std::max_element(z.begin(), z.end());
  long double sum = 0;
  for (const long double x : z) sum += std::exp(x - largest);
  for (long double& x : z) x -= largest + std::log(sum);
  return z;
}

oracle_rule without_value(std::string name, row_rule row, bool one_per_row) {
  oracle_rule rule{std::move(name), std::move(row)};
  rule.mean_over_rows = false;
  rule.has_value = false;
  rule.one_output_per_row = one_per_row;
  return rule;
}

}  // namespace

oracle_rule mean_of_probabilities(long double temperature) {
  const auto mean = [=](const row_logits& row, std::span<long double> output) {
    const numbers a = log_softmax_of(row.student, temperature), b = log_softmax_of(row.teacher, temperature);
    for (std::size_t i = 0; i < output.size(); ++i)
      output[i] = std::log((std::exp(a[i]) + std::exp(b[i])) / 2);
    return 0.0L;
  };
  return without_value("mean_of_probabilities", mean, false);
}

oracle_rule mean_of_log_probabilities(long double temperature) {
  const auto mean = [=](const row_logits& row, std::span<long double> output) {
    numbers middle(output.size());
    for (std::size_t i = 0; i < middle.size(); ++i) middle[i] = (row.student[i] + row.teacher[i]) / 2;
    const numbers result = log_softmax_of(middle, temperature);
    std::copy(result.begin(), result.end(), output.begin());
    return 0.0L;
  };
  return without_value("mean_of_log_probabilities", mean, false);
}

oracle_rule mean_of_logits() {
  const auto mean = [](const row_logits& row, std::span<long double> output) {
    for (std::size_t i = 0; i < output.size(); ++i) output[i] = (row.student[i] + row.teacher[i]) / 2;
    return 0.0L;
  };
  return without_value("mean_of_logits", mean, false);
}

oracle_rule entropy() {
  const auto sum = [](const row_logits& row, std::span<long double> output) {
    output[0] = 0;
    for (const long double l : log_softmax_of(row.student, 1)) output[0] -= std::exp(l) * l;
    return 0.0L;
  };
  return without_value("entropy", sum, true);
}

oracle_rule row_divergence() {
  const auto sum = [](const row_logits& row, std::span<long double> output) {
    const numbers q = log_softmax_of(row.student, 1), p = log_softmax_of(row.teacher, 1);
    output[0] = 0;
    for (std::size_t i = 0; i < p.size(); ++i) output[0] += std::exp(p[i]) * (p[i] - q[i]);
    return 0.0L;
  };
  return without_value("row_divergence", sum, true);
}

oracle_rule ea_kd_weight(long double temperature) {
  const auto weigh = [=](const row_logits& row, std::span<long double> output) {
    const auto entropy_of = [&](std::span<const long double> logits) {
      long double h = 0;
      for (const long double l : log_softmax_of(logits, temperature)) h -= std::exp(l) * l;
      return h;
    };
    const long double t = entropy_of(row.teacher), s = entropy_of(row.student);
    output[0] = (t + t * s / std::log(static_cast<long double>(row.student.size()))) / 2;
    return 0.0L;
  };
  return without_value("ea_kd_weight", weigh, true);
}

}  // namespace benchmarks::oracle
