// Experts and weights against sorting in long double: every SIMD target, shape, element type, layout and
// option.
#include "moe/gate_cases.hpp"

using namespace gate_cases;
using distill::gate_scoring;
using distill::group_scoring;

namespace {

// The stated bound of a weight's relative error.
long double bound_of(const setting& s, const gate_oracle::row& z, std::int32_t id, bool is_double) {
  const long double unit = is_double ? 1e-15L : 1e-7L;
  const long double gap = *std::max_element(z.begin(), z.end()) - z[static_cast<std::size_t>(id)];
  const bool is_softmax = s.gate.scoring < gate_scoring::sigmoid;
  return unit * (6 + 1.5L * (is_softmax ? gap : std::abs(z[static_cast<std::size_t>(id)])));
}

template <class T, class Weight = float>
void check(setting s, std::size_t tokens, std::size_t experts, layout how = layout::compact,
           std::size_t offset = 0, double deviation = 2) {
  const guarded_matrix<T> logits(
      tokens, support::independent_logits(tokens, experts, experts + tokens, deviation).student, how, offset);
  s.gate.expert_bias = s.bias;
  routed<Weight> to(tokens, s.gate.k, how == layout::compact ? layout::compact : layout::padded_rows);
  INFO(text_of(s.gate) << ", " << tokens << " x " << experts << ", " << name_of(how));
  s.gate(logits.view(), to.view());
  CHECK(to.weights.is_intact());
  for (std::size_t t = 0; t < tokens; ++t) {
    const gate_oracle::row z = exact_row(logits, t);
    CAPTURE(t);
    check_experts(s, z, to.row(t));
    const gate_oracle::row w = gate_oracle::weights(s.oracle, z, to.row(t));
    for (std::size_t i = 0; i < w.size(); ++i) {
      const long double error = std::abs(to.weights.at(t, i) - w[i]);
      const bool within = error <= w[i] * bound_of(s, z, to.row(t)[i], sizeof(Weight) == 8) + 1.2e-38L;
      if (within) continue;
      CAPTURE(i, to.weights.at(t, i), static_cast<double>(w[i]));
      CHECK(within);
    }
  }
}

std::vector<float> some_bias(std::size_t experts) {
  support::random_source random(experts);
  std::vector<float> bias(experts);
  for (float& b : bias) b = static_cast<float>(0.3 * random.normal());
  return bias;
}

}  // namespace

TEST_CASE("every number of experts and of experts per token") {
  on_every_target([] {
    for (const std::size_t experts :
         {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 60, 64, 65, 100, 128, 160, 256, 384})
      for (const std::size_t k : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 32, 40}) {
        if (k > experts) continue;
        check<float>(setting_of({.k = k}), 37, experts);
        if (k <= 9 || k == 40) check<double, double>(setting_of({.k = k}), 11, experts);
      }
  });
}

TEST_CASE("all experts, and two thousand of them") {
  on_every_target([] {
    for (const std::size_t experts : {1, 3, 8, 16, 33, 64, 100})
      check<float>(setting_of({.k = experts}), 19, experts);
    for (const std::size_t k : {1, 8, 32, 33, 100, 2048}) check<float>(setting_of({.k = k}), 3, 2048);
    check<double, double>(setting_of({.k = 2048}), 2, 2048);
  });
}

TEST_CASE("every scoring, normalised or not, with a factor") {
  on_every_target([] {
    for (const gate_scoring scoring : every_scoring)
      for (const bool renormalize : {false, true})
        for (const auto& [experts, k] :
             {std::pair<std::size_t, std::size_t>{8, 2}, {64, 6}, {100, 8}, {40, 20}}) {
          const setting s =
              setting_of({.k = k, .scoring = scoring, .renormalize = renormalize, .scaling_factor = 2.5});
          check<float>(s, 21, experts);
          check<float>(s, 21, experts, layout::compact, 0, 12);
          check<double, double>(s, 9, experts);
        }
  });
}

TEST_CASE("bias and groups") {
  on_every_target([] {
    for (const gate_scoring scoring : every_scoring)
      for (const bool with_bias : {false, true})
        for (const group_scoring by :
             {group_scoring::maximum, group_scoring::two_largest, group_scoring::share_of_top_k})
          for (const auto& [experts, k, groups, kept] :
               {std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>{256, 8, 8, 4},
                {64, 6, 8, 3},
                {60, 6, 4, 2},
                {12, 4, 12, 4},
                {96, 12, 3, 1},
                {64, 6, 1, 1},
                {160, 8, 40, 4},
                {20, 2, 5, 2}}) {
            const setting s = setting_of(
                {.k = k, .scoring = scoring, .groups = groups, .kept_groups = kept, .group_score = by},
                with_bias ? some_bias(experts) : std::vector<float>());
            check<float>(s, 18, experts);
            check<double, double>(s, 5, experts);
          }
  });
}

TEST_CASE("every layout and element type") {
  using distill::bfloat16;
  using distill::float16;
  on_every_target([] {
    for (const layout how : {layout::compact, layout::padded_rows, layout::column_major,
                             layout::padded_columns, layout::every_third, layout::reversed_rows})
      for (const auto& [experts, k] :
           {std::pair<std::size_t, std::size_t>{8, 2}, {30, 3}, {70, 7}, {70, 20}}) {
        const setting s = setting_of({.k = k});
        check<float>(s, 35, experts, how, 1);
        check<double, double>(s, 17, experts, how, 1);
        check<bfloat16>(s, 35, experts, how, 1);
        check<float16>(s, 35, experts, how, 3);
      }
  });
}
