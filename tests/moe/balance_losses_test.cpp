// Balance losses against their definitions in long double, by hand, and their invariances.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"

using namespace router_cases;
using distill::gshard_loss;
using distill::router_statistics;
using distill::sequence_balance_loss;
using distill::switch_loss;

namespace {

// α E Σ_i (n_i / (k T)) (Σ_t p_ti / T) over tokens [begin, end) that the mask counts.
real share_oracle(const batch& b, real alpha, std::size_t choices, std::size_t begin, std::size_t end,
                  const std::vector<float>& mask = {}) {
  const std::vector<real> p =
      b.sigmoid ? normalised(sigmoid_of(b.logits), b.experts) : softmax_of(b.logits, b.experts);
  real value = 0, tokens = 0;
  for (std::size_t t = begin; t < end; ++t) tokens += mask.empty() || mask[t] != 0;
  for (std::size_t i = 0; i < b.experts; ++i) {
    real n = 0, sum = 0;
    for (std::size_t t = begin; t < end; ++t) {
      if (!mask.empty() && mask[t] == 0) continue;
      sum += p[t * b.experts + i];
      for (std::size_t slot = 0; slot < choices; ++slot)
        n += b.ids[t * b.k + slot] == static_cast<std::int32_t>(i);
    }
    value += n / (static_cast<real>(choices) * tokens) * (sum / tokens);
  }
  return alpha * static_cast<real>(b.experts) * value;
}

double apart(double got, real expected) { return static_cast<double>(std::abs(got / expected - 1)); }

}  // namespace

TEST_CASE("switch_loss is its definition") {
  for (const auto& [tokens, experts, k] :
       {std::tuple<std::size_t, std::size_t, std::size_t>{1, 1, 1}, {37, 8, 2}, {64, 5, 5}, {500, 64, 6}})
    for (const bool sigmoid : {false, true}) {
      const batch b(tokens, experts, k, 5 + tokens, sigmoid);
      owned_statistics s(experts);
      distill::count_statistics(b.id_view(), b.score_view(), s.view, b.options());
      std::vector<double> slopes(experts, 7), expected;
      const switch_loss loss{.coefficient = 0.02, .experts_per_token = static_cast<std::int64_t>(k)};
      CHECK(apart(loss(s.view, slopes), share_oracle(b, 0.02L, k, 0, tokens)) <= 1e-13);
      CHECK(apart(loss(s.view), share_oracle(b, 0.02L, k, 0, tokens)) <= 1e-13);
      for (std::size_t i = 0; i < experts; ++i)
        expected.push_back(0.02 * static_cast<double>(experts) * static_cast<double>(s.assignments[i]) /
                           static_cast<double>(k * tokens * tokens));
      CHECK(distance(slopes, expected) <= 1e-14);
    }
}

TEST_CASE("by hand: two experts, four tokens, three of them to the first") {
  std::vector<std::int64_t> counts = {3, 1};
  std::vector<double> sums = {2.5, 1.5}, slopes(2);
  const router_statistics s{.assignments = counts, .probability_sums = sums, .tokens = 4};
  // 2 (3/4 · 2.5/4 + 1/4 · 1.5/4) = 1.125
  CHECK(switch_loss{.coefficient = 1, .experts_per_token = 1}(s, slopes) == 1.125);
  CHECK(slopes == std::vector<double>{2 * 0.75 / 4, 2 * 0.25 / 4});
  CHECK(gshard_loss{.coefficient = 1}(s, distill::load_of(s), slopes) == 1.125);
  CHECK(slopes == std::vector<double>{2 * 0.75 / 4, 2 * 0.25 / 4});
}

TEST_CASE("perfect balance gives the coefficient, one expert for all gives it times the experts") {
  std::vector<std::int64_t> even(8, 100), one(8, 0);
  std::vector<double> even_sums(8, 50), one_sum(8, 0);
  one[3] = 400, one_sum[3] = 400;
  const router_statistics balanced{.assignments = even, .probability_sums = even_sums, .tokens = 400};
  const router_statistics collapsed{.assignments = one, .probability_sums = one_sum, .tokens = 400};
  CHECK(switch_loss{.coefficient = 0.25, .experts_per_token = 2}(balanced) == 0.25);
  CHECK(switch_loss{.coefficient = 0.25, .experts_per_token = 1}(collapsed) == 2);
}

TEST_CASE("gshard_loss counts first choices") {
  const batch b(200, 16, 4, 3);
  owned_statistics s(16);
  distill::count_statistics(b.id_view(), b.score_view(), s.view);
  std::vector<std::int64_t> first(16);
  distill::count_assignments(b.id_view(), first, 1);
  const distill::expert_load load{first, 200};
  CHECK(apart(gshard_loss{.coefficient = 0.5}(s.view, load), share_oracle(b, 0.5L, 1, 0, 200)) <= 1e-13);
  CHECK_THROWS_AS(gshard_loss{}(s.view, distill::load_of(s.view)), distill::data_error);
}

TEST_CASE("sequence_balance_loss is the mean over sequences that have tokens") {
  const std::size_t sequences = 4, length = 25, experts = 8, k = 2;
  const batch b(sequences * length, experts, k, 9, true);
  std::vector<float> mask(b.tokens, 1);
  for (std::size_t t = 50; t < 75; ++t) mask[t] = 0;
  mask[3] = mask[99] = 0;
  std::vector<std::int64_t> counts(sequences * experts), tokens(sequences);
  std::vector<double> sums(sequences * experts), slopes(sequences * experts, 7);
  const distill::sequence_statistics s{.assignments = {counts.data(), sequences, experts},
                                       .probability_sums = {sums.data(), sequences, experts},
                                       .tokens = tokens};
  distill::token_options options = b.options();
  options.token_mask = mask;
  distill::count_sequence_statistics(b.id_view(), b.score_view(), s, options);
  CHECK(tokens == std::vector<std::int64_t>{24, 25, 0, 24});
  real expected = 0;
  for (const std::size_t sequence : {0, 1, 3})
    expected += share_oracle(b, 0.1L, k, sequence * length, (sequence + 1) * length, mask) / 3;
  const sequence_balance_loss loss{.coefficient = 0.1, .experts_per_token = k};
  CHECK(apart(loss(s, {slopes.data(), sequences, experts}), expected) <= 1e-13);
  CHECK(apart(loss(s), expected) <= 1e-13);
  for (std::size_t i = 0; i < experts; ++i) {
    CHECK(slopes[2 * experts + i] == 0);
    CHECK(slopes[i] == Approx(0.1 * 8 * static_cast<double>(counts[i]) / (2 * 24 * 24 * 3.0)).epsilon(1e-13));
  }
  // The mean over a batch of which this is a part.
  CHECK(apart(loss(s, {}, {.denominator = 12}), expected / 4) <= 1e-13);
}

TEST_CASE("micro-batches add up to the batch, however they are cut") {
  const batch b(300, 16, 2, 21);
  owned_statistics whole(16);
  distill::count_statistics(b.id_view(), b.score_view(), whole.view);
  const switch_loss loss{.coefficient = 1, .experts_per_token = 2};
  std::vector<double> whole_slopes(16), slopes(16);
  const double value = loss(whole.view, whole_slopes);
  owned_statistics sum(16), counted_on(16);
  const std::size_t cuts[] = {0, 10, 130, 131, 300};
  for (int part = 0; part < 4; ++part) {
    owned_statistics s(16);
    const std::size_t begin = cuts[part], count = cuts[part + 1] - begin;
    distill::count_statistics(b.id_view(begin, count), b.score_view(begin, count), s.view);
    distill::count_statistics(b.id_view(begin, count), b.score_view(begin, count), counted_on.view);
    distill::add_statistics(sum.view, s.view);
  }
  CHECK(sum.assignments == whole.assignments);
  CHECK(sum.view.tokens == 300);
  CHECK(distance(sum.probability_sums, whole.probability_sums) <= 1e-14);
  CHECK(counted_on.probability_sums == whole.probability_sums);
  double parts = 0, mean = 0;
  for (int part = 0; part < 4; ++part) {
    owned_statistics s(16);
    const std::size_t begin = cuts[part], count = cuts[part + 1] - begin;
    distill::count_statistics(b.id_view(begin, count), b.score_view(begin, count), s.view);
    // Every part's slopes are the whole's, and the values add up.
    parts += loss(s.view, distill::load_of(sum.view), slopes, {.denominator = 300});
    CHECK(distance(slopes, whole_slopes) <= 1e-14);
    // Without: the mean weighted by tokens, each part having its own token count.
    mean += loss(s.view, distill::load_of(sum.view)) * static_cast<double>(count) / 300;
  }
  CHECK(parts == Approx(value).epsilon(1e-13));
  CHECK(mean == Approx(value).epsilon(1e-13));
}

TEST_CASE("padding changes nothing, whatever it holds") {
  batch b(100, 8, 2, 33), padded = b;
  padded.tokens = 140;
  padded.scores.resize(140 * 8, infinity);
  padded.ids.resize(140 * 2, 99);
  std::vector<float> mask(140, 0);
  std::fill(mask.begin(), mask.begin() + 100, 1.0f);
  owned_statistics a(8), c(8);
  distill::count_statistics(b.id_view(), b.score_view(), a.view);
  distill::count_statistics(padded.id_view(), padded.score_view(), c.view, {.token_mask = mask});
  CHECK(a.assignments == c.assignments);
  CHECK(a.probability_sums == c.probability_sums);
  CHECK(c.view.tokens == 100);
  CHECK(c.view.bad_rows == 0);
}

TEST_CASE("experts may be renamed") {
  const batch b(100, 8, 2, 34);
  owned_statistics s(8);
  distill::count_statistics(b.id_view(), b.score_view(), s.view);
  std::vector<std::int64_t> counts(s.assignments.rbegin(), s.assignments.rend());
  std::vector<double> sums(s.probability_sums.rbegin(), s.probability_sums.rend());
  const router_statistics reversed{.assignments = counts, .probability_sums = sums, .tokens = 100};
  const switch_loss loss{.coefficient = 1, .experts_per_token = 2};
  CHECK(loss(reversed) == Approx(loss(s.view)).epsilon(1e-14));
}

TEST_CASE("no tokens give 0, never 0 / 0") {
  owned_statistics s(4);
  std::vector<double> slopes(4, 7);
  CHECK(switch_loss{.experts_per_token = 2}(s.view, slopes) == 0);
  CHECK(slopes == std::vector<double>(4, 0));
  slopes.assign(4, 7);
  CHECK(gshard_loss{}(s.view, distill::load_of(s.view), slopes) == 0);
  CHECK(slopes == std::vector<double>(4, 0));
  // Counts of other processes, but no local token.
  std::vector<std::int64_t> counts(4, 5);
  CHECK(switch_loss{.experts_per_token = 2}(s.view, {counts, 10}, slopes, {.denominator = 10}) == 0);
  CHECK(slopes == std::vector<double>(4, 0));
  std::vector<std::int64_t> none(1);
  const distill::sequence_statistics one{
      {s.assignments.data(), 1, 4}, {s.probability_sums.data(), 1, 4}, none};
  slopes.assign(4, 7);
  CHECK(sequence_balance_loss{.experts_per_token = 2}(one, {slopes.data(), 1, 4}) == 0);
  CHECK(slopes == std::vector<double>(4, 0));
  CHECK(distill::router_z_loss{}(s.view) == 0);
  CHECK(distill::router_z_loss{}.slope(s.view) == 0);
}

TEST_CASE("slopes are added where asked, and written in place of the sums") {
  const batch b(100, 8, 2, 35);
  owned_statistics s(8);
  distill::count_statistics(b.id_view(), b.score_view(), s.view);
  const switch_loss loss{.coefficient = 1, .experts_per_token = 2};
  std::vector<double> once(8), twice(8), in_place = s.probability_sums;
  const double value = loss(s.view, once);
  loss(s.view, twice);
  loss(s.view, twice, {.accumulate = true});
  for (double& slope : once) slope *= 2;
  CHECK(twice == once);
  router_statistics same = s.view;
  same.probability_sums = in_place;
  CHECK(loss(same, in_place) == value);
  for (double& slope : in_place) slope *= 2;
  CHECK(in_place == once);
}

TEST_CASE("tokens without probabilities are counted as bad, and in the assignments") {
  batch b(10, 4, 2, 36);
  b.scores[3 * 4 + 1] = std::nan("");
  b.scores[5 * 4] = infinity;
  b.ids[7 * 2] = b.ids[7 * 2 + 1] = -1;
  owned_statistics s(4);
  distill::count_statistics(b.id_view(), b.score_view(), s.view);
  CHECK(s.view.bad_rows == 2);
  CHECK(s.view.tokens == 8);
  CHECK(std::accumulate(s.assignments.begin(), s.assignments.end(), std::int64_t{0}) == 18);
  CHECK(std::accumulate(s.probability_sums.begin(), s.probability_sums.end(), 0.0) == Approx(8));
}
