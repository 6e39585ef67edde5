// Biases of the choice of experts: the sign rule, and quantile balancing in both forms.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"
#include "support/guarded_matrix.hpp"

using namespace router_cases;
using distill::bias_step;
using distill::expert_bias_update;
using distill::quantile_balancing;

namespace {

// New biases in long double: α_t by sorting, quantiles linear between order statistics.
std::vector<real> quantile_oracle(const std::vector<double>& scores, const std::vector<float>& bias,
                                  std::size_t k, bool recentre) {
  const std::size_t experts = bias.size(), tokens = scores.size() / experts;
  std::vector<std::vector<real>> asked(experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::vector<real> biased;
    for (std::size_t i = 0; i < experts; ++i)
      biased.push_back(static_cast<real>(scores[t * experts + i]) + static_cast<real>(bias[i]));
    std::sort(biased.rbegin(), biased.rend());
    for (std::size_t i = 0; i < experts; ++i) asked[i].push_back(biased[k] - scores[t * experts + i]);
  }
  std::vector<real> result;
  real mean = 0;
  for (auto& r : asked) {
    std::sort(r.begin(), r.end());
    const real position = static_cast<real>(k) / experts * static_cast<real>(tokens - 1);
    const auto below = static_cast<std::size_t>(std::floor(position + 1e-12L));
    const std::size_t above = std::min(below + 1, tokens - 1);
    result.push_back(r[below] + (position - static_cast<real>(below)) * (r[above] - r[below]));
    mean += result.back() / static_cast<real>(experts);
  }
  for (real& b : result) b -= recentre ? mean : 0;
  return result;
}

double largest_share(const std::vector<double>& scores, const std::vector<float>& bias, std::size_t k) {
  std::vector<double> biased = scores;
  for (std::size_t i = 0; i < biased.size(); ++i) biased[i] += static_cast<double>(bias[i % bias.size()]);
  const auto ids = top_k(biased, bias.size(), k);
  std::vector<std::int64_t> counts(bias.size());
  distill::count_assignments({ids.data(), ids.size() / k, k}, counts);
  return distill::usage_of(counts).largest_over_mean;
}

std::vector<double> skewed_scores(std::size_t tokens, std::size_t experts, std::uint64_t seed) {
  std::vector<double> logits = normal_values(tokens * experts, seed);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] += 1.5 * std::sin(static_cast<double>(i % experts));
  return as_doubles(sigmoid_of(logits));
}

}  // namespace

TEST_CASE("the sign rule, by hand") {
  const std::vector<std::int64_t> counts = {5, 3, 4, 0, 8};
  std::vector<float> bias = {1, 1, 1, 1, 1};
  expert_bias_update{.rate = 0.125}(counts, bias);
  CHECK(bias == std::vector<float>{0.875f, 1.125f, 1, 1.125f, 0.875f});
}

TEST_CASE("the mean is compared exactly") {
  const std::int64_t large = std::int64_t{1} << 60;
  const std::vector<std::int64_t> counts = {large, large + 1, large + 1};
  std::vector<float> bias(3);
  expert_bias_update{.rate = 1}(counts, bias);
  CHECK(bias == std::vector<float>{1, -1, -1});
  const std::vector<std::int64_t> even(3, large);
  expert_bias_update{.rate = 1}(even, bias);
  CHECK(bias == std::vector<float>{1, -1, -1});
}

TEST_CASE("proportional steps, and steps recentred") {
  const std::vector<std::int64_t> counts = {6, 3, 3, 0};  // mean 3
  std::vector<float> bias(4, 0.5f);
  expert_bias_update{.rate = 0.25, .step = bias_step::proportional}(counts, bias);
  CHECK(bias == std::vector<float>{0.25f, 0.5f, 0.5f, 0.75f});
  const std::vector<std::int64_t> three = {1, 1, 1, 9};  // signs 1 1 1 -1, mean 1/2
  bias.assign(4, 0);
  expert_bias_update{.rate = 1, .recentre = true}(three, bias);
  CHECK(bias == std::vector<float>{0.5f, 0.5f, 0.5f, -1.5f});
}

TEST_CASE("no assignments leave the bias, whatever the step") {
  const std::vector<std::int64_t> none(3);
  std::vector<float> bias = {1, 2, 3};
  for (const bias_step step : {bias_step::sign, bias_step::proportional})
    for (const bool recentre : {false, true}) {
      expert_bias_update{.rate = 1, .step = step, .recentre = recentre}(none, bias);
      CHECK(bias == std::vector<float>{1, 2, 3});
    }
}

TEST_CASE("the sign rule balances a router") {
  const std::vector<double> scores = skewed_scores(2000, 16, 61);
  std::vector<float> bias(16);
  CHECK(largest_share(scores, bias, 2) > 2);
  for (int step = 0; step < 400; ++step) {
    std::vector<double> biased = scores;
    for (std::size_t i = 0; i < biased.size(); ++i) biased[i] += static_cast<double>(bias[i % 16]);
    const auto ids = top_k(biased, 16, 2);
    std::vector<std::int64_t> counts(16);
    distill::count_assignments({ids.data(), 2000, 2}, counts);
    expert_bias_update{.rate = 2e-3}(counts, bias);
  }
  CHECK(largest_share(scores, bias, 2) < 1.15);
}

TEST_CASE("quantile balancing is its definition") {
  for (const auto& [tokens, experts, k] :
       {std::tuple<std::size_t, std::size_t, std::size_t>{1, 4, 1}, {7, 2, 1}, {100, 8, 7}, {501, 16, 2}})
    for (const bool recentre : {false, true}) {
      const std::vector<double> scores = skewed_scores(tokens, experts, 62);
      std::vector<float> bias;
      for (const double b : normal_values(experts, 63, 0.1)) bias.push_back(static_cast<float>(b));
      const auto expected = quantile_oracle(scores, bias, k, recentre);
      const quantile_balancing rule{.experts_per_token = static_cast<std::int64_t>(k), .recentre = recentre};
      rule(distill::matrix_view(scores.data(), tokens, experts), bias);
      for (std::size_t i = 0; i < experts; ++i)
        CHECK(std::abs(static_cast<double>(bias[i]) - static_cast<double>(expected[i])) <= 1e-7);
    }
}

TEST_CASE("quantile balancing balances in a few steps") {
  const std::vector<double> scores = skewed_scores(4000, 16, 64);
  std::vector<float> exact(16), binned(16);
  const quantile_balancing rule{.experts_per_token = 2};
  std::vector<std::int64_t> counters(16 * 1000);
  distill::bias_histogram histogram{.counts = {counters.data(), 16, 1000}};
  for (int step = 0; step < 8; ++step) {
    rule(distill::matrix_view(scores.data(), 4000, 16), exact);
    rule.begin(binned, histogram);
    rule.count(distill::matrix_view(scores.data(), 4000, 16), binned, histogram);
    rule(histogram, binned);
  }
  CHECK(largest_share(scores, exact, 2) < 1.1);
  CHECK(largest_share(scores, binned, 2) < 1.1);
}

TEST_CASE("the histogram is within a bin of the exact form, and its parts add up") {
  const std::size_t tokens = 3000, experts = 8, bins = 400;
  const std::vector<double> scores = skewed_scores(tokens, experts, 65);
  const std::vector<float> bias = {0.25f, -0.5f, 0, 0, 0.125f, 0, 0, 0};
  for (const bool recentre : {false, true}) {
    const quantile_balancing rule{.experts_per_token = 3, .recentre = recentre};
    std::vector<float> exact = bias, binned = bias;
    rule(distill::matrix_view(scores.data(), tokens, experts), exact);
    std::vector<std::int64_t> counters(experts * bins, 9), other(experts * bins);
    distill::bias_histogram first{.counts = {counters.data(), experts, bins}},
        second{.counts = {other.data(), experts, bins}};
    rule.begin(bias, first);
    rule.begin(bias, second);
    CHECK(first.low == -1.5);
    CHECK(first.high == 1.25);
    rule.count(distill::matrix_view(scores.data(), 1000, experts), bias, first);
    rule.count(distill::matrix_view(scores.data() + 1000 * experts, 2000, experts), bias, second);
    for (std::size_t i = 0; i < counters.size(); ++i) counters[i] += other[i];
    rule(first, binned);
    const double bin = (first.high - first.low) / static_cast<double>(bins);
    for (std::size_t i = 0; i < experts; ++i)
      CHECK(std::abs(static_cast<double>(binned[i]) - static_cast<double>(exact[i])) <=
            (recentre ? 2 : 1) * bin);
  }
}

TEST_CASE("a histogram quantile, by hand") {
  // Four bins of width 1 from -2; k / E = 1 / 2; expert 0: 4 of 8 tokens end with bin 1.
  std::vector<std::int64_t> counters = {2, 2, 2, 2, 0, 0, 0, 8};
  const distill::bias_histogram histogram{.counts = {counters.data(), 2, 4}, .low = -2, .high = 2};
  std::vector<float> bias(2, 9);
  quantile_balancing{.experts_per_token = 1, .recentre = false}(histogram, bias);
  CHECK(bias == std::vector<float>{0, 1.5f});
  quantile_balancing{.experts_per_token = 1}(histogram, bias);
  CHECK(bias == std::vector<float>{-0.75f, 0.75f});
}

TEST_CASE("padding and bad tokens are left out of quantiles; no tokens leave the bias") {
  std::vector<double> scores = skewed_scores(60, 4, 66), padded = scores;
  padded.insert(padded.begin(), {std::nan(""), 0, 0, 0, 9, 9, 9, 9});
  std::vector<float> mask(62, 1);
  mask[1] = 0;
  const std::vector<float> nobody(62, 0);
  std::vector<float> a(4), b(4), c = {1, 2, 3, 4};
  const quantile_balancing rule{.experts_per_token = 2};
  distill::workspace memory;
  rule(distill::matrix_view(scores.data(), 60, 4), a, {}, &memory);
  CHECK(memory.size() == 60 * 16);
  rule(distill::matrix_view(padded.data(), 62, 4), b, {.token_mask = mask});
  CHECK(a == b);
  std::vector<std::int64_t> counters(40), same(40);
  distill::bias_histogram h{.counts = {counters.data(), 4, 10}}, g{.counts = {same.data(), 4, 10}};
  const std::vector<float> zero(4);
  rule.begin(zero, h);
  rule.begin(zero, g);
  rule(h, c);
  rule(distill::matrix_view(padded.data(), 62, 4), c, {.token_mask = nobody});
  CHECK(c == std::vector<float>{1, 2, 3, 4});
  rule.count(distill::matrix_view(padded.data(), 62, 4), zero, h, {.token_mask = mask});
  rule.count(distill::matrix_view(scores.data(), 60, 4), zero, g);
  CHECK(counters == same);
}
