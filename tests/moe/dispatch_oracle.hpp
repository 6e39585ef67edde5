// The independent answers for orders, exchanges and capacities: straight from their definitions, in long
// double, and without any of the library's headers.
#pragma once

#include <cmath>
#include <cstddef>
#include <tuple>
#include <vector>

namespace dispatch_oracle {

/// Ids (-1: none) and weights, [tokens, k].
struct batch {
  std::size_t tokens = 0, k = 0, experts = 1;
  std::vector<int> ids;
  std::vector<double> weights;

  int id(std::size_t t, std::size_t j) const { return ids[t * k + j]; }
  double weight(std::size_t t, std::size_t j) const { return weights[t * k + j]; }
};

struct order {
  std::vector<long long> offsets, rows;
  std::vector<int> tokens, slots;
};

/// One expert after the other looks through all tokens. `fixed`: rows of every expert, if not 0.
inline order sorted(const batch& b, std::size_t block = 1, std::size_t fixed = 0) {
  order result;
  result.rows.assign(b.ids.size(), -1);
  for (std::size_t e = 0; e < b.experts; ++e) {
    result.offsets.push_back(static_cast<long long>(result.tokens.size()));
    for (std::size_t t = 0; t < b.tokens; ++t)
      for (std::size_t j = 0; j < b.k; ++j) {
        if (b.id(t, j) != static_cast<int>(e)) continue;
        result.rows[t * b.k + j] = static_cast<long long>(result.tokens.size());
        result.tokens.push_back(static_cast<int>(t));
        result.slots.push_back(static_cast<int>(j));
      }
    const auto begin = static_cast<std::size_t>(result.offsets.back());
    while (fixed > 0 ? result.tokens.size() - begin < fixed : (result.tokens.size() - begin) % block != 0) {
      result.tokens.push_back(-1);
      result.slots.push_back(-1);
    }
  }
  result.offsets.push_back(static_cast<long long>(result.tokens.size()));
  return result;
}

/// Σ_j w row, [tokens, width]; `magnitude` gets Σ_j |w row|. Weights of 1 if `plain`.
inline std::vector<long double> combined(const batch& b, const order& o, const std::vector<double>& rows,
                                         std::size_t width, std::vector<long double>& magnitude,
                                         bool plain = false) {
  std::vector<long double> result(b.tokens * width, 0);
  magnitude.assign(b.tokens * width, 0);
  for (std::size_t t = 0; t < b.tokens; ++t)
    for (std::size_t j = 0; j < b.k; ++j)
      for (std::size_t c = 0; c < width && b.id(t, j) >= 0; ++c) {
        const long double w = plain ? 1 : b.weight(t, j);
        const long double term = w * rows[static_cast<std::size_t>(o.rows[t * b.k + j]) * width + c];
        result[t * width + c] += term;
        magnitude[t * width + c] += std::abs(term);
      }
  return result;
}

enum class rule { position, weight, choice, best_weight };

/// Whether assignment a is served before b. Weights that are NaN are served last.
inline bool precedes(const batch& b, rule how, std::size_t a, std::size_t other) {
  const auto better = [](double x, double y) { return (x > y) || (!std::isnan(x) && std::isnan(y)); };
  const auto best = [&](std::size_t t) {
    double largest = std::nan("");
    for (std::size_t j = 0; j < b.k; ++j)
      if (b.id(t, j) >= 0 && better(b.weight(t, j), largest)) largest = b.weight(t, j);
    return largest;
  };
  const std::size_t t = a / b.k, j = a % b.k, u = other / b.k, i = other % b.k;
  switch (how) {
    case rule::position:
      return std::tie(t, j) < std::tie(u, i);
    case rule::choice:
      return std::tie(j, t) < std::tie(i, u);
    case rule::weight:
      if (better(b.weights[a], b.weights[other])) return true;
      if (better(b.weights[other], b.weights[a])) return false;
      return a < other;
    case rule::best_weight:
      if (j != i) return j < i;
      if (better(best(t), best(u))) return true;
      if (better(best(u), best(t))) return false;
      return t < u;
  }
  return false;
}

/// An assignment survives if fewer than `most` of its expert precede it.
inline std::vector<bool> survivors(const batch& b, rule how, long long most) {
  std::vector<bool> result(b.ids.size(), false);
  for (std::size_t a = 0; a < b.ids.size(); ++a) {
    if (b.ids[a] < 0) continue;
    long long before = 0;
    for (std::size_t other = 0; other < b.ids.size(); ++other)
      if (other != a && b.ids[other] == b.ids[a] && precedes(b, how, other, a)) ++before;
    result[a] = before < most;
  }
  return result;
}

}  // namespace dispatch_oracle
