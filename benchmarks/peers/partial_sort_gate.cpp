#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "peers/gate.hpp"

namespace benchmarks {
namespace {

struct buffers {
  std::vector<float> scores, choice, weights;
  std::vector<std::pair<float, int>> order;
  std::vector<std::pair<float, int>> groups;
  std::vector<int> experts;
};

bool is_larger(const std::pair<float, int>& a, const std::pair<float, int>& b) { return a.first > b.first; }

void softmax_into(const float* z, std::size_t n, float* out) {
  float maximum = z[0], sum = 0;
  for (std::size_t e = 1; e < n; ++e) maximum = std::max(maximum, z[e]);
  for (std::size_t e = 0; e < n; ++e) sum += out[e] = std::exp(z[e] - maximum);
  for (std::size_t e = 0; e < n; ++e) out[e] /= sum;
}

// Sigmoid scores; their biased values, out of reach where the group is not kept.
void grouped_into(const float* z, std::size_t n, buffers& b) {
  constexpr std::size_t groups = 8, kept = 4;
  const std::size_t size = n / groups;
  for (std::size_t e = 0; e < n; ++e) {
    b.scores[e] = 1 / (1 + std::exp(-z[e]));
    b.choice[e] = b.scores[e] + bias_of(e);
  }
  for (std::size_t g = 0; g < groups; ++g) {
    float first = -1e30F, second = -1e30F;
    for (std::size_t e = g * size; e < (g + 1) * size; ++e) {
      second = std::max(second, std::min(first, b.choice[e]));
      first = std::max(first, b.choice[e]);
    }
    b.groups[g] = {first + second, static_cast<int>(g)};
  }
  std::partial_sort(b.groups.begin(), b.groups.begin() + kept, b.groups.begin() + groups, is_larger);
  for (std::size_t i = kept; i < groups; ++i)
    std::fill_n(b.choice.begin() + b.groups[i].second * static_cast<std::ptrdiff_t>(size), size, -1e30F);
}

void route(const gate_task& what, const float* z, std::size_t n, std::size_t token, buffers& b) {
  if (what.deepseek) {
    grouped_into(z, n, b);
  } else {
    softmax_into(z, n, b.scores.data());
    std::copy(b.scores.begin(), b.scores.end(), b.choice.begin());
  }
  for (std::size_t e = 0; e < n; ++e) b.order[e] = {b.choice[e], static_cast<int>(e)};
  std::partial_sort(b.order.begin(), b.order.begin() + static_cast<std::ptrdiff_t>(what.k), b.order.end(),
                    is_larger);
  float sum = 0;
  for (std::size_t i = 0; i < what.k; ++i) sum += b.scores[static_cast<std::size_t>(b.order[i].second)];
  for (std::size_t i = 0; i < what.k; ++i) {
    b.experts[token * what.k + i] = b.order[i].second;
    b.weights[token * what.k + i] = b.scores[static_cast<std::size_t>(b.order[i].second)] / sum;
  }
}

contender bind(const gate_task& what, problem<float>& task) {
  const std::size_t n = task.extent.columns, tokens = task.extent.rows;
  const auto b = std::make_shared<buffers>();
  b->scores.resize(n), b->choice.resize(n), b->order.resize(n), b->groups.resize(8);
  b->weights.resize(tokens * what.k), b->experts.resize(tokens * what.k);
  const auto logits = std::make_shared<std::vector<float>>(task.student.begin(), task.student.end());
  if (what.equal) std::fill(logits->begin(), logits->end(), 0.0F);
  const auto call = [=] {
    for (std::size_t t = 0; t < tokens; ++t) route(what, logits->data() + t * n, n, t, *b);
    return 0.0;
  };
  const auto publish = [=, &task] {
    std::fill(task.output.begin(), task.output.end(), what.equal ? 1.0F / static_cast<float>(n) : 0.0F);
    for (std::size_t t = 0; t < tokens && !what.equal; ++t)
      for (std::size_t i = 0; i < what.k; ++i)
        task.output[t * n + static_cast<std::size_t>(b->experts[t * what.k + i])] =
            b->weights[t * what.k + i];
  };
  return {call, gate_weights(what), publish};
}

}  // namespace

peer_list<float> partial_sort_gate(const gate_task& what) {
  return {{"partial_sort", [what](problem<float>& task, int) { return bind(what, task); }}};
}

}  // namespace benchmarks
