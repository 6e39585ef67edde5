#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "problem/problem.hpp"

namespace benchmarks {

/// Tokens with k different random experts each; what every contender of a task on routed tokens works on.
struct routed_tokens {
  std::size_t tokens, k, experts;
  std::vector<std::int32_t> ids;
  std::vector<float> weights;

  routed_tokens(std::size_t token_count, std::size_t per_token, std::size_t expert_count)
      : tokens(token_count), k(per_token), experts(expert_count), weights(token_count * per_token) {
    std::uint64_t state = 1;
    const auto random = [&](std::size_t below) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      return static_cast<std::size_t>(state >> 33U) % below;
    };
    std::vector<std::int32_t> all(experts);
    std::iota(all.begin(), all.end(), 0);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const std::size_t j = i % k;
      std::swap(all[j], all[j + random(experts - j)]);
      ids.push_back(all[j]);
      weights[i] = static_cast<float>(1 + random(8)) / 16;
    }
  }

  /// Rows are assignments, eight to a token and 64 experts.
  static routed_tokens to_exchange(const shape& extent) { return {extent.rows / 8, 8, 64}; }
  /// Rows are tokens, columns experts.
  static routed_tokens to_order(const shape& extent) {
    const std::size_t k = extent.columns <= 8 ? 2 : extent.columns <= 64 ? 6 : 8;
    return {extent.rows, k, extent.columns};
  }
};

}  // namespace benchmarks
