// Ties, NaN, infinities: the order is the stated one on every target, and nothing is ever out of range or
// repeated.
#include <cmath>
#include <limits>

#include "moe/gate_cases.hpp"

using namespace gate_cases;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

// Rows of a few different values, so that nearly everything is a tie; `special` mixes in what is not finite.
std::vector<double> tied_logits(std::size_t tokens, std::size_t experts, bool special) {
  support::random_source random(tokens * 1000 + experts);
  const double values[] = {0.0,
                           -0.0,
                           1.0,
                           1.0,
                           -2.0,
                           special ? infinity : 3.0,
                           special ? -infinity : -1.0,
                           special ? not_a_number : 0.5};
  std::vector<double> logits(tokens * experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::size_t kinds = 1 + random.bits() % 8;
    for (std::size_t e = 0; e < experts; ++e) logits[t * experts + e] = values[random.bits() % kinds];
  }
  return logits;
}

template <class T, class Weight>
void check(setting s, std::size_t tokens, std::size_t experts, bool special) {
  const guarded_matrix<T> logits(tokens, tied_logits(tokens, experts, special));
  if (sizeof(T) == 8) s.oracle.largest = std::numeric_limits<double>::max();
  s.gate.expert_bias = s.bias;
  routed<Weight> to(tokens, s.gate.k);
  s.gate(logits.view(), to.view());
  INFO(text_of(s.gate) << ", " << tokens << " x " << experts << (special ? ", special" : ""));
  for (std::size_t t = 0; t < tokens; ++t) {
    const gate_oracle::row z = exact_row(logits, t);
    CAPTURE(t);
    CHECK(to.row(t) == gate_oracle::choose(s.oracle, z));
    for (std::size_t i = 0; i < s.gate.k; ++i) CHECK(std::isfinite(to.weights.at(t, i)));
  }
}

}  // namespace

TEST_CASE("equal logits: the lower index wins") {
  on_every_target([] {
    for (const bool special : {false, true})
      for (const std::size_t experts : {1, 2, 7, 8, 16, 33, 64, 100, 256, 600})
        for (const std::size_t k : {1, 2, 6, 8, 9, 16, 30, 64, 100}) {
          if (k > experts) continue;
          check<float, float>(setting_of({.k = k}), 33, experts, special);
          if (k < 10) check<double, double>(setting_of({.k = k}), 9, experts, special);
        }
  });
}

TEST_CASE("equal groups and equal experts: the lower index wins") {
  using distill::group_scoring;
  on_every_target([] {
    for (const bool special : {false, true})
      for (const group_scoring by :
           {group_scoring::maximum, group_scoring::two_largest, group_scoring::share_of_top_k}) {
        // Scores that are logits, so that the oracle's ties are ours.
        const auto scoring = distill::gate_scoring::top_k_then_softmax;
        if (special && by != group_scoring::maximum) continue;
        check<float, float>(
            setting_of({.k = 8, .scoring = scoring, .groups = 8, .kept_groups = 4, .group_score = by}), 40,
            256, special);
        check<float, float>(
            setting_of({.k = 12, .scoring = scoring, .groups = 6, .kept_groups = 2, .group_score = by}), 40,
            60, special);
        check<double, double>(
            setting_of({.k = 3, .scoring = scoring, .groups = 5, .kept_groups = 3, .group_score = by}), 40,
            10, special);
      }
  });
}

TEST_CASE("all logits equal: the first k experts, equal weights") {
  on_every_target([] {
    for (const float value : {0.0f, -0.0f, 5.0f, infinity, -infinity, not_a_number})
      for (const std::size_t experts : {8, 64, 128, 256, 1000})
        for (const std::size_t k : {2, 8, 20}) {
          if (k > experts) continue;
          const guarded_matrix<float> logits(17, std::vector<double>(17 * experts, value));
          routed<float> to(17, k);
          distill::top_k_gate{.k = k}(logits.view(), to.view());
          CAPTURE(value, experts, k);
          for (std::size_t t = 0; t < 17; ++t)
            for (std::size_t i = 0; i < k; ++i) {
              CHECK(to.row(t)[i] == static_cast<std::int32_t>(i));
              CHECK(std::abs(to.weights.at(t, i) * static_cast<double>(k) - 1) < 1e-6);
            }
        }
  });
}

TEST_CASE("a logit that is not finite counts as the nearest that is, NaN as the lowest") {
  on_every_target([] {
    std::vector<double> z = {1, not_a_number, infinity, 0, -infinity, 2, not_a_number, 1};
    for (const auto scoring : every_scoring) {
      const guarded_matrix<float> logits(1, z);
      routed<float> to(1, 8);
      distill::top_k_gate{.k = 8, .scoring = scoring}(logits.view(), to.view());
      CHECK(to.row(0) == std::vector<std::int32_t>{2, 5, 0, 7, 3, 1, 4, 6});
      const setting s = setting_of({.k = 8, .scoring = scoring});
      const gate_oracle::row w = gate_oracle::weights(s.oracle, exact_row(logits, 0), to.row(0));
      for (std::size_t i = 0; i < 8; ++i)
        CHECK(std::abs(to.weights.at(0, i) - static_cast<double>(w[i])) < 1e-5 * w[i] + 1e-30);
    }
  });
}

TEST_CASE("scores too small for their sum give weights of 0, not NaN") {
  on_every_target([] {
    const guarded_matrix<float> logits(1, std::vector<double>{-200, -300, -400, -500});
    routed<float> to(1, 2);
    distill::top_k_gate{.k = 2, .scoring = distill::gate_scoring::sigmoid}(logits.view(), to.view());
    CHECK(to.row(0) == std::vector<std::int32_t>{0, 1});
    CHECK(to.weights.at(0, 0) == 0);
    CHECK(to.weights.at(0, 1) == 0);
  });
}

TEST_CASE("a bias that is not finite chooses, and no more") {
  on_every_target([] {
    const guarded_matrix<float> logits(1, std::vector<double>{1, 2, 3, 4});
    const std::vector<float> bias = {infinity, 0, -infinity, not_a_number};
    routed<float> to(1, 3);
    distill::top_k_gate{.k = 3, .scoring = distill::gate_scoring::sigmoid, .expert_bias = bias}(logits.view(),
                                                                                                to.view());
    CHECK(to.row(0) == std::vector<std::int32_t>{0, 1, 2});
    for (std::size_t i = 0; i < 3; ++i) CHECK(to.weights.at(0, i) > 0.2);
  });
}

TEST_CASE("scores that differ by little more than their rounding choose in their order") {
  on_every_target([] {
    constexpr std::size_t experts = 256, k = 8;
    guarded_matrix<float> logits(16, experts);
    for (std::size_t t = 0; t < 16; ++t)
      for (std::size_t e = 0; e < experts; ++e)  // each 1e-6 of a score above the one before
        logits(t, (e * 77 + t) % experts) = static_cast<float>(e) * 4e-6f - 0.3f * static_cast<float>(t);
    const std::vector<float> bias(experts, 0.0f);
    routed<float> to(16, k);
    distill::top_k_gate{.k = k, .scoring = distill::gate_scoring::sigmoid, .expert_bias = bias}(logits.view(),
                                                                                                to.view());
    for (std::size_t t = 0; t < 2; ++t)
      for (std::size_t i = 0; i < k; ++i)
        CHECK(to.row(t)[i] == static_cast<std::int32_t>(((experts - 1 - i) * 77 + t) % experts));
  });
}
