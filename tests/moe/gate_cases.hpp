// Gates of the library and of the oracle side by side, and their answers compared.
#pragma once

#include <catch2/catch.hpp>
#include <distill/dispatch.hpp>
#include <distill/moe/top_k_gate.hpp>
#include <string>
#include <vector>

#include "moe/gate_oracle.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace gate_cases {

using support::guarded_matrix;
using support::layout;

struct setting {
  distill::top_k_gate gate;
  gate_oracle::gate oracle;
  std::vector<float> bias = {};
};

inline std::string text_of(const distill::top_k_gate& g) {
  constexpr const char* names[] = {"softmax_then_top_k", "top_k_then_softmax", "sigmoid", "sqrt_softplus"};
  return std::string(names[static_cast<int>(g.scoring)]) + (g.renormalize ? " normalised" : "") + ", k " +
         std::to_string(g.k) + ", groups " + std::to_string(g.groups) + "/" + std::to_string(g.kept_groups) +
         (g.expert_bias.empty() ? "" : ", bias");
}

/// `bias` must outlive the result.
inline setting setting_of(distill::top_k_gate gate, std::vector<float> bias = {}) {
  setting result;
  result.bias = std::move(bias);
  result.gate = gate;
  auto& o = result.oracle;
  o.k = gate.k;
  o.score = static_cast<gate_oracle::scoring>(gate.scoring);
  o.renormalize = gate.renormalize;
  o.scale = gate.scaling_factor;
  o.groups = gate.groups, o.kept_groups = gate.kept_groups;
  o.by = static_cast<gate_oracle::group_score>(gate.group_score);
  for (const float b : result.bias) o.bias.push_back(b);
  return result;
}

inline constexpr distill::gate_scoring every_scoring[] = {
    distill::gate_scoring::softmax_then_top_k, distill::gate_scoring::top_k_then_softmax,
    distill::gate_scoring::sigmoid, distill::gate_scoring::sqrt_softplus};

using support::on_every_target;

/// The memory of a routing, with guards.
template <class Weight>
struct routed {
  std::size_t k;
  std::vector<std::int32_t> experts;
  guarded_matrix<Weight> weights;
  std::ptrdiff_t pitch;

  routed(std::size_t tokens, std::size_t k_, layout how = layout::compact)
      : k(k_),
        experts(tokens * (k_ + 1), -77),
        weights(tokens, k_, how),
        pitch(static_cast<std::ptrdiff_t>(how == layout::compact ? k_ : k_ + 1)) {}
  distill::routing<Weight> view() { return {{experts.data(), weights.rows(), k, pitch, 1}, weights.view()}; }
  std::vector<std::int32_t> row(std::size_t token) {
    const auto first = experts.begin() + static_cast<std::ptrdiff_t>(token) * pitch;
    return {first, first + static_cast<std::ptrdiff_t>(k)};
  }
};

template <class T>
gate_oracle::row exact_row(const guarded_matrix<T>& m, std::size_t row) {
  gate_oracle::row result(m.classes());
  for (std::size_t c = 0; c < m.classes(); ++c) result[c] = m.at(row, c);
  return result;
}

/// The experts must be the oracle's; where scores decide, experts whose values differ by rounding may change
/// places.
inline void check_experts(const setting& s, const gate_oracle::row& z, const std::vector<std::int32_t>& got) {
  const std::vector<std::int32_t> expected = gate_oracle::choose(s.oracle, z);
  if (got == expected) return;
  const gate_oracle::row v = gate_oracle::choice_values(s.oracle, z);
  std::vector<std::int32_t> seen = got;
  std::sort(seen.begin(), seen.end());
  REQUIRE(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
  const bool by_scores = !s.bias.empty() || s.gate.group_score != distill::group_scoring::maximum;
  for (std::size_t i = 0; i < got.size(); ++i) {
    REQUIRE(got[i] >= 0);
    REQUIRE(static_cast<std::size_t>(got[i]) < z.size());
    const long double a = v[static_cast<std::size_t>(got[i])], b = v[static_cast<std::size_t>(expected[i])];
    CAPTURE(i, got[i], expected[i], static_cast<double>(a), static_cast<double>(b));
    CHECK((got[i] == expected[i] || (by_scores && std::abs(a - b) <= 4e-7L * std::max(1.0L, std::abs(b)))));
  }
}

}  // namespace gate_cases
