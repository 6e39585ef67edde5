#include "peers/gate.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

namespace benchmarks {
namespace {

using real = long double;

std::vector<std::size_t> largest(const std::vector<real>& values, std::size_t k) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  order.resize(k);
  return order;
}

std::vector<std::size_t> chosen(const gate_task& what, std::span<const real> z) {
  std::vector<real> values(z.begin(), z.end());
  if (!what.deepseek) return largest(values, what.k);
  constexpr std::size_t groups = 8, kept = 4;
  const std::size_t size = z.size() / groups;
  std::vector<real> of_groups(groups);
  for (std::size_t e = 0; e < z.size(); ++e)
    values[e] = 1 / (1 + std::exp(-values[e])) + static_cast<real>(bias_of(e));
  for (std::size_t g = 0; g < groups; ++g) {
    std::vector<real> group(values.begin() + static_cast<std::ptrdiff_t>(g * size),
                            values.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::partial_sort(group.begin(), group.begin() + 2, group.end(), std::greater<>());
    of_groups[g] = group[0] + group[1];
  }
  std::vector<real> masked(z.size(), -1);
  for (const std::size_t g : largest(of_groups, kept))
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(g * size), size,
                masked.begin() + static_cast<std::ptrdiff_t>(g * size));
  return largest(masked, what.k);
}

real score(const gate_task& what, real z) { return what.deepseek ? 1 / (1 + std::exp(-z)) : std::exp(z); }

}  // namespace

oracle_rule gate_weights(const gate_task& what) {
  const auto row = [what](const row_logits& in, std::span<real> out) {
    std::vector<real> z(in.student.begin(), in.student.end());
    if (what.equal) std::fill(z.begin(), z.end(), 0.0L);
    std::fill(out.begin(), out.end(), 0.0L);
    real sum = 0;
    const auto experts = chosen(what, z);
    for (const std::size_t e : experts) sum += score(what, z[e]);
    // Which of equal experts are chosen is everybody's own affair: every expert has the mean weight.
    if (what.equal)
      std::fill(out.begin(), out.end(), 1.0L / static_cast<real>(out.size()));
    else
      for (const std::size_t e : experts) out[e] = score(what, z[e]) / sum;
    return 0.0L;
  };
  return {"gate_weights", row, false, false};
}

oracle_rule gate_gradient(const gate_task& what, const problem<float>& task) {
  const std::size_t n = task.extent.columns, tokens = task.extent.rows;
  const auto counts = std::make_shared<std::vector<real>>(n, 0.0L);
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::vector<real> z(task.student.begin() + static_cast<std::ptrdiff_t>(t * n),
                              task.student.begin() + static_cast<std::ptrdiff_t>((t + 1) * n));
    for (const std::size_t e : chosen(what, z)) (*counts)[e] += 1;
  }
  const auto row = [what, counts, tokens](const row_logits& in, std::span<real> out) {
    const std::size_t size = in.student.size();
    real sum = 0, chosen_sum = 0, mean = 0, mean_slope = 0;
    for (const real z : in.student) sum += std::exp(z);
    const auto experts = chosen(what, in.student);
    for (const std::size_t e : experts) chosen_sum += std::exp(in.student[e]);
    for (const std::size_t e : experts) mean += in.teacher[e] * std::exp(in.student[e]) / chosen_sum;
    const auto t = static_cast<real>(tokens);
    const auto slope = [&](std::size_t e) {
      return switch_coefficient * static_cast<real>(size) * (*counts)[e] /
             (static_cast<real>(what.k) * t * t);
    };
    for (std::size_t e = 0; e < size; ++e) mean_slope += slope(e) * std::exp(in.student[e]) / sum;
    for (std::size_t e = 0; e < size; ++e)
      out[e] =
          std::exp(in.student[e]) / sum * (slope(e) - mean_slope + 2 * z_coefficient / t * std::log(sum));
    for (const std::size_t e : experts)
      out[e] += std::exp(in.student[e]) / chosen_sum * (in.teacher[e] - mean);
    return 0.0L;
  };
  return {"gate_gradient", row, false, false};
}

}  // namespace benchmarks
