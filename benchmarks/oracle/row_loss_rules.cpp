#include <algorithm>
#include <cmath>
#include <numeric>

#include "oracle/oracle.hpp"

namespace benchmarks::oracle {
namespace {

using numbers = std::vector<long double>;

numbers log_softmax_of(numbers z, long double temperature) {
  for (long double& x : z) x /= temperature;
  const long double largest = *std::max_element(z.begin(), z.end());
  long double sum = 0;
  for (const long double x : z) sum += std::exp(x - largest);
  for (long double& x : z) x -= largest + std::log(sum);
  return z;
}

numbers copy_of(std::span<const long double> row) { return {row.begin(), row.end()}; }

numbers exponentials_of(numbers z) {
  for (long double& x : z) x = std::exp(x);
  return z;
}

long double kl(const numbers& log_p, const numbers& log_q) {
  long double sum = 0;
  for (std::size_t i = 0; i < log_p.size(); ++i) sum += std::exp(log_p[i]) * (log_p[i] - log_q[i]);
  return sum;
}

/// T^2 KL(target || q), the target held constant, and its gradient.
long double to_target(const numbers& log_target, const numbers& log_q, long double temperature,
                      std::span<long double> gradient) {
  for (std::size_t i = 0; i < gradient.size(); ++i)
    gradient[i] = temperature * (std::exp(log_q[i]) - std::exp(log_target[i]));
  return temperature * temperature * kl(log_target, log_q);
}

/// (z - mean) / (deviation + 1e-7), n - 1 in the deviation.
struct standardized {
  numbers centred, value;
  long double deviation;

  explicit standardized(std::span<const long double> z) : centred(copy_of(z)) {
    const auto n = static_cast<long double>(z.size());
    const long double mean = std::accumulate(z.begin(), z.end(), 0.0L) / n;
    long double square = 0;
    for (long double& x : centred) x -= mean, square += x * x;
    deviation = std::sqrt(square / (n - 1));
    value = centred;
    for (long double& x : value) x /= deviation + 1e-7L;
  }
};

/// Σ |p - q| over the fewest of the most probable classes that have `mass`, over Σ |p - q|.
long double share_of_head(const numbers& p, const numbers& q, long double mass) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
  long double head = 0, all = 0, reached = 0;
  for (const std::size_t i : order) {
    if (reached < mass) head += std::abs(p[i] - q[i]);
    all += std::abs(p[i] - q[i]);
    reached += p[i];
  }
  return head / all;
}

}  // namespace

oracle_rule decoupled_kl(long double temperature, long double alpha, long double beta) {
  return {"decoupled_kl", [=](const row_logits& row, std::span<long double> gradient) {
            const numbers log_p = log_softmax_of(copy_of(row.teacher), temperature),
                          log_q = log_softmax_of(copy_of(row.student), temperature);
            const auto rest = [&](std::span<const long double> logits) {
              numbers z = copy_of(logits);
              z.erase(z.begin() + static_cast<std::ptrdiff_t>(row.label));
              return log_softmax_of(std::move(z), temperature);
            };
            const numbers rest_p = rest(row.teacher), rest_q = rest(row.student);
            const long double p = std::exp(log_p[row.label]), q = std::exp(log_q[row.label]);
            const long double binary = p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
            for (std::size_t i = 0, k = 0; i < gradient.size(); ++i) {
              if (i == row.label) {
                gradient[i] = temperature * alpha * (q - p);
                continue;
              }
              const long double own_q = std::exp(rest_q[k]), own_p = std::exp(rest_p[k]);
              gradient[i] = temperature * (beta * (own_q - own_p) - alpha * (q - p) * own_q);
              ++k;
            }
            return temperature * temperature * (alpha * binary + beta * kl(rest_p, rest_q));
          }};
}

oracle_rule standardized_kl(long double temperature) {
  return {"standardized_kl", [=](const row_logits& row, std::span<long double> gradient) {
            const standardized student(row.student), teacher(row.teacher);
            const numbers log_q = log_softmax_of(student.value, temperature);
            const long double value =
                to_target(log_softmax_of(teacher.value, temperature), log_q, temperature, gradient);
            const long double spread = student.deviation + 1e-7L,
                              n = static_cast<long double>(gradient.size());
            long double along = 0;
            for (std::size_t i = 0; i < gradient.size(); ++i) along += gradient[i] * student.centred[i];
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              const long double pull = student.centred[i] * along / ((n - 1) * student.deviation * spread);
              gradient[i] = (gradient[i] - pull) / spread;
            }
            return value;
          }};
}

oracle_rule taid_kl(long double temperature, long double interpolation) {
  return {"taid_kl", [=](const row_logits& row, std::span<long double> gradient) {
            numbers between = copy_of(row.student);
            for (std::size_t i = 0; i < between.size(); ++i)
              between[i] = (1 - interpolation) * row.student[i] + interpolation * row.teacher[i];
            return to_target(log_softmax_of(std::move(between), temperature),
                             log_softmax_of(copy_of(row.student), temperature), temperature, gradient);
          }};
}

oracle_rule corrected_kl(long double temperature, long double threshold) {
  return {"corrected_kl", [=](const row_logits& row, std::span<long double> gradient) {
            numbers p = exponentials_of(log_softmax_of(copy_of(row.teacher), temperature));
            long double wrong = 0;
            for (std::size_t i = 0; i < p.size(); ++i)
              if (i != row.label) wrong = std::max(wrong, p[i]);
            const long double short_by = wrong - p[row.label];
            const long double share = std::max(0.0L, (short_by + threshold) / (1 + short_by));
            for (std::size_t i = 0; i < p.size(); ++i)
              p[i] = std::log((1 - share) * p[i] + (i == row.label ? share : 0));
            return to_target(p, log_softmax_of(copy_of(row.student), temperature), temperature, gradient);
          }};
}

oracle_rule adaptive_kl(long double temperature, long double head_mass) {
  return {
      "adaptive_kl" + std::to_string(head_mass), [=](const row_logits& row, std::span<long double> gradient) {
        const numbers log_p = log_softmax_of(copy_of(row.teacher), temperature),
                      log_q = log_softmax_of(copy_of(row.student), temperature);
        const numbers p = exponentials_of(log_p), q = exponentials_of(log_q);
        const long double w = share_of_head(p, q, head_mass), reverse = kl(log_q, log_p);
        for (std::size_t i = 0; i < gradient.size(); ++i)
          gradient[i] = temperature * (w * (q[i] - p[i]) + (1 - w) * q[i] * (log_q[i] - log_p[i] - reverse));
        return temperature * temperature * (w * kl(log_p, log_q) + (1 - w) * reverse);
      }};
}

}  // namespace benchmarks::oracle
