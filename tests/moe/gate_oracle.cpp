#include "moe/gate_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gate_oracle {
namespace {

row scores(const gate& how, const row& z) {
  row s(z.size());
  const real lse = log_sum_exp(how, z);
  for (std::size_t i = 0; i < z.size(); ++i) switch (how.score) {
      case scoring::softmax_then_top_k:
        s[i] = std::exp(z[i] - lse);
        break;
      case scoring::top_k_then_softmax:
        s[i] = z[i];
        break;
      case scoring::sigmoid:
        s[i] = 1 / (1 + std::exp(-z[i]));
        break;
      case scoring::sqrt_softplus:
        s[i] = std::sqrt(std::max(z[i], real{0}) + std::log1p(std::exp(-std::abs(z[i]))));
        break;
    }
  return s;
}

std::vector<std::int32_t> largest(const row& values, std::size_t k) {
  std::vector<std::int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
  });
  order.resize(k);
  return order;
}

real score_of_group(const gate& how, row values) {
  std::sort(values.begin(), values.end(), std::greater<>());
  std::size_t count = how.by == group_score::maximum       ? 1
                      : how.by == group_score::two_largest ? 2
                                                           : how.k / how.kept_groups;
  count = std::min(count, values.size());
  return std::accumulate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count), real{0});
}

real value(const gate& how, const row& z, const std::vector<std::int32_t>& experts, const loss& of) {
  real sum = 0;
  if (!of.g.empty()) {
    const row w = weights(how, z, experts);
    for (std::size_t s = 0; s < w.size(); ++s) sum += of.g[s] * w[s];
  }
  if (!of.a.empty()) {
    const row p = probabilities(how, z);
    for (std::size_t e = 0; e < p.size(); ++e) sum += of.a[e] * p[e];
  }
  const real lse = of.beta == 0 ? 0 : log_sum_exp(how, z);
  return sum + of.beta * lse * lse;
}

}  // namespace

row finite(const gate& how, row z) {
  for (real& x : z) x = std::isnan(x) ? -how.largest : std::clamp(x, -how.largest, how.largest);
  return z;
}

real log_sum_exp(const gate& how, const row& raw) {
  const row z = finite(how, raw);
  const real maximum = *std::max_element(z.begin(), z.end());
  real sum = 0;
  for (const real x : z) sum += std::exp(x - maximum);
  return maximum + std::log(sum);
}

row choice_values(const gate& how, const row& raw) {
  row v = finite(how, raw);
  const bool by_logits =
      how.bias.empty() && (how.kept_groups == how.groups || how.by == group_score::maximum);
  if (!by_logits) v = scores(how, v);
  for (std::size_t i = 0; i < how.bias.size(); ++i) v[i] += how.bias[i];
  if (how.kept_groups == how.groups) return v;
  const std::size_t size = v.size() / how.groups;
  row of_groups(how.groups);
  for (std::size_t g = 0; g < how.groups; ++g) {
    const auto first = v.begin() + static_cast<std::ptrdiff_t>(g * size);
    of_groups[g] = score_of_group(how, row(first, first + static_cast<std::ptrdiff_t>(size)));
  }
  std::vector<bool> kept(how.groups, false);
  for (const std::int32_t g : largest(of_groups, how.kept_groups)) kept[static_cast<std::size_t>(g)] = true;
  for (std::size_t i = 0; i < v.size(); ++i)
    if (!kept[i / size]) v[i] = -std::numeric_limits<real>::infinity();
  return v;
}

std::vector<std::int32_t> choose(const gate& how, const row& z) {
  return largest(choice_values(how, z), how.k);
}

row weights(const gate& how, const row& raw, const std::vector<std::int32_t>& experts) {
  const row z = finite(how, raw);
  row chosen, w;
  for (const std::int32_t id : experts)
    if (id >= 0) chosen.push_back(z[static_cast<std::size_t>(id)]);
  if (chosen.empty()) return row(experts.size(), 0);
  const bool is_softmax =
      how.score == scoring::softmax_then_top_k || how.score == scoring::top_k_then_softmax;
  const bool normalised = how.renormalize || how.score == scoring::top_k_then_softmax;
  gate softmax = how;
  softmax.score = is_softmax ? scoring::softmax_then_top_k : how.score;
  row s = normalised ? scores(softmax, chosen) : row();
  if (!normalised) {
    const row all = scores(softmax, z);
    for (const std::int32_t id : experts)
      if (id >= 0) s.push_back(all[static_cast<std::size_t>(id)]);
  }
  const real sum = normalised ? std::accumulate(s.begin(), s.end(), real{0}) : 1;
  std::size_t next = 0;
  for (const std::int32_t id : experts) w.push_back(id < 0 ? 0 : how.scale * s[next++] / sum);
  return w;
}

row probabilities(const gate& how, const row& raw) {
  const row z = finite(how, raw);
  gate softmax = how;
  if (how.score == scoring::top_k_then_softmax) softmax.score = scoring::softmax_then_top_k;
  row p = scores(softmax, z);
  const real sum = std::accumulate(p.begin(), p.end(), real{0});
  for (real& x : p) x /= sum;
  return p;
}

row gradient(const gate& how, const row& z, const std::vector<std::int32_t>& experts, const loss& of) {
  const real h = 1e-5L;
  row result(z.size());
  for (std::size_t e = 0; e < z.size(); ++e) {
    const auto at = [&](real step) {
      row moved = z;
      moved[e] += step;
      return value(how, moved, experts, of);
    };
    result[e] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  }
  return result;
}

}  // namespace gate_oracle
