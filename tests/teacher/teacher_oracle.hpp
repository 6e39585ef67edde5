// What statistics, mixtures and policies must answer, from their definitions in long double. Includes nothing
// of the library.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace teacher_oracle {

using row = std::vector<long double>;

inline constexpr long double no_number = std::numeric_limits<long double>::quiet_NaN();
inline constexpr long double minus_infinity = -std::numeric_limits<long double>::infinity();

inline row log_softmax(const row& z, long double temperature = 1) {
  std::size_t first = 0;  // of the largest
  for (std::size_t c = 0; c < z.size(); ++c) {
    if (std::isnan(z[c])) return row(z.size(), no_number);
    if (z[c] > z[first]) first = c;
  }
  row result(z.size(), no_number);
  if (!std::isfinite(z[first])) return result;
  long double rest = 0;  // beside 1, where it would be lost
  for (std::size_t c = 0; c < z.size(); ++c)
    if (c != first) rest += std::exp((z[c] - z[first]) / temperature);
  for (std::size_t c = 0; c < z.size(); ++c) result[c] = (z[c] - z[first]) / temperature - std::log1p(rest);
  return result;
}

inline long double log_sum_exp(const row& z, long double temperature = 1) {
  return z[0] == minus_infinity ? no_number : z[0] / temperature - log_softmax(z, temperature)[0];
}

inline long double entropy(const row& z, long double temperature = 1) {
  long double sum = 0;
  for (long double l : log_softmax(z, temperature))
    if (l != minus_infinity) sum -= std::exp(l) * l;
  return sum;
}

inline long double largest_probability(const row& z, long double temperature = 1) {
  long double largest = 0;
  for (long double l : log_softmax(z, temperature))
    largest = std::isnan(l) ? l : std::max(largest, std::exp(l));
  return largest;
}

/// 1 - p of a class, as the sum of the others.
inline long double others(const row& z, std::size_t label, long double temperature = 1) {
  const row l = log_softmax(z, temperature);
  long double sum = 0;
  for (std::size_t c = 0; c < z.size(); ++c)
    if (c != label) sum += std::exp(l[c]);
  return sum;
}

inline long double mean(const row& z) {
  long double sum = 0, count = 0;
  for (long double x : z)
    if (x != minus_infinity) sum += x, ++count;
  return sum / count;
}

inline long double deviation(const row& z, bool unbiased = false) {
  const long double middle = mean(z);
  long double sum = 0, count = 0;
  for (long double x : z)
    if (x != minus_infinity) sum += (x - middle) * (x - middle), ++count;
  if (unbiased && count > 1) --count;
  return std::sqrt(sum / count);
}

inline long double length(const row& z) {
  long double sum = 0;
  for (long double x : z) sum += x * x;
  return std::sqrt(sum);
}

/// KL(p || q) of log-probabilities.
inline long double divergence(const row& log_p, const row& log_q) {
  long double sum = 0;
  for (std::size_t c = 0; c < log_p.size(); ++c)
    if (log_p[c] != minus_infinity) sum += std::exp(log_p[c]) * (log_p[c] - log_q[c]);
  return sum;
}

inline long double cosine_distance(const row& a, const row& b) {
  row x, y;
  for (std::size_t c = 0; c < a.size(); ++c)
    if (a[c] != minus_infinity && b[c] != minus_infinity) x.push_back(a[c]), y.push_back(b[c]);
  const long double lx = length(x), ly = length(y);
  if (lx == 0 || ly == 0) return lx == ly ? 0 : 1;
  long double sum = 0;
  for (std::size_t c = 0; c < x.size(); ++c) {
    const long double difference = x[c] / lx - y[c] / ly;
    sum += difference * difference;
  }
  return sum / 2;
}

enum class kind { probabilities, log_probabilities, logits };

/// One row of each teacher, and weights that need not sum to 1.
inline row mix(kind how, const std::vector<row>& teachers, const row& weights, long double temperature) {
  long double total = 0;
  for (long double w : weights) total += w;
  row result(teachers[0].size(), how == kind::probabilities ? 0 : 0);
  if (!(total > 0)) return row(result.size(), no_number);
  for (std::size_t i = 0; i < teachers.size(); ++i) {
    if (weights[i] == 0) continue;
    const row l = how == kind::logits ? teachers[i] : log_softmax(teachers[i], temperature);
    for (std::size_t c = 0; c < result.size(); ++c)
      result[c] += weights[i] / total * (how == kind::probabilities ? std::exp(l[c]) : l[c]);
  }
  if (how == kind::logits) return result;
  if (how == kind::log_probabilities) return log_softmax(result);
  for (long double& x : result) x = std::log(x);
  return result;
}

/// softmax of scores / sharpness.
inline row share(const row& scores, long double sharpness) {
  row result = log_softmax(scores, sharpness);
  for (long double& x : result) x = std::exp(x);
  return result;
}

}  // namespace teacher_oracle
