// Importance and load: CV² against its definition and differences; the smooth load and its derivatives.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"

using namespace router_cases;

namespace {

real squared_variation(const std::vector<double>& x, real epsilon, bool unbiased) {
  real mean = 0, squares = 0;
  const auto n = static_cast<real>(x.size());
  for (const double v : x) mean += v / n;
  for (const double v : x) squares += (v - mean) * (v - mean);
  return squares / (unbiased ? n - 1 : n) / (mean * mean + epsilon);
}

// Φ((clean - threshold) / σ) summed over tokens; the thresholds from `ranked`.
std::vector<double> load_oracle(const std::vector<double>& clean, const std::vector<double>& ranked,
                                const std::vector<double>& sigma, std::size_t experts, std::size_t k) {
  std::vector<double> loads(experts);
  for (std::size_t row = 0; row < clean.size(); row += experts)
    for (std::size_t i = 0; i < experts; ++i) {
      std::vector<double> others;
      for (std::size_t j = 0; j < experts; ++j)
        if (j != i) others.push_back(ranked[row + j]);
      std::sort(others.rbegin(), others.rend());
      if (k > others.size()) {
        loads[i] += 1;
        continue;
      }
      const real x = (static_cast<real>(clean[row + i]) - others[k - 1]) / sigma[row + i];
      loads[i] += static_cast<double>(std::erfc(-x / std::sqrt(2.0L)) / 2);
    }
  return loads;
}

struct noisy_batch {
  std::size_t tokens, experts;
  std::vector<double> clean, draws, sigma, noisy;

  noisy_batch(std::size_t tokens_, std::size_t experts_)
      : tokens(tokens_),
        experts(experts_),
        clean(normal_values(tokens * experts, 1)),
        draws(normal_values(tokens * experts, 2)),
        sigma(normal_values(tokens * experts, 3)) {
    for (double& s : sigma) s = 0.5 + std::abs(s);
    noisy = noisy_of(clean, sigma);
  }
  std::vector<double> noisy_of(const std::vector<double>& z, const std::vector<double>& s) const {
    std::vector<double> result = z;
    for (std::size_t i = 0; i < z.size(); ++i) result[i] += s[i] * draws[i];
    return result;
  }
  distill::matrix_view<const double> view(const std::vector<double>& m) const {
    return {m.data(), tokens, experts};
  }
  distill::noisy_logits inputs() const { return {view(clean), view(noisy), view(sigma)}; }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

TEST_CASE("importance_loss and load_loss are CV², and their slopes its derivative") {
  std::vector<double> x = normal_values(12, 5);
  for (double& v : x) v = std::abs(v) * 30;
  for (const bool unbiased : {false, true})
    for (const double epsilon : {0.0, 1e-10, 40.0}) {
      const distill::importance_loss importance{.coefficient = 0.3, .epsilon = epsilon, .unbiased = unbiased};
      const distill::load_loss load{.coefficient = 0.3, .epsilon = epsilon, .unbiased = unbiased};
      std::vector<double> slopes(12), load_slopes(12);
      const double value = importance(x, slopes);
      CHECK(value ==
            Approx(static_cast<double>(0.3L * squared_variation(x, epsilon, unbiased))).epsilon(1e-13));
      CHECK(importance(x) == value);
      CHECK(load(x, load_slopes) == value);
      CHECK(load_slopes == slopes);
      CHECK(distance(slopes, differences(x, [&](const auto& at) { return importance(at); })) <= 1e-8);
    }
}

TEST_CASE("by hand: importance 1, 3") {
  const std::vector<double> x = {1, 3};
  // Mean 2; variance 2 unbiased, 1 else.
  CHECK(distill::importance_loss{.coefficient = 1, .epsilon = 0}(x) == 0.5);
  CHECK(distill::importance_loss{.coefficient = 1, .epsilon = 0, .unbiased = false}(x) == 0.25);
  CHECK(distill::load_loss{.coefficient = 1, .epsilon = 0}(x) == 0.5);
}

TEST_CASE("even, empty and single importance have no variation") {
  for (const double each : {0.0, 2.5}) {
    const std::vector<double> even(6, each);
    std::vector<double> slopes(6, 7);
    CHECK(distill::importance_loss{.epsilon = 0}(even, slopes) == 0);
    CHECK(slopes == std::vector<double>(6, 0));
  }
  const std::vector<double> one = {5};
  std::vector<double> slope(1, 7);
  CHECK(distill::importance_loss{}(one, slope) == 0);
  CHECK(slope[0] == 0);
}

TEST_CASE("sums of weights, and slopes back to the weights") {
  std::vector<std::int32_t> ids = {0, 2, 2, -1, 1, 0};
  std::vector<float> weights = {0.5f, 0.25f, 1, 9, 2, 4};
  std::vector<double> sums = {1, 1, 1}, slopes = {10, 20, 30};
  const distill::routing<float> r{{ids.data(), 3, 2}, {weights.data(), 3, 2}};
  distill::sum_weights(r, sums);
  CHECK(sums == std::vector<double>{5.5, 3, 2.25});
  std::vector<double> wide(weights.begin(), weights.end()), wide_sums(3);
  distill::sum_weights(distill::routing<double>{{ids.data(), 3, 2}, {wide.data(), 3, 2}}, wide_sums);
  CHECK(wide_sums == std::vector<double>{4.5, 2, 1.25});
  std::vector<float> gradient(6, 1);
  distill::spread_slopes(r.experts, slopes, {gradient.data(), 3, 2}, true);
  CHECK(gradient == std::vector<float>{11, 31, 31, 1, 21, 11});
  distill::spread_slopes(r.experts, slopes, {gradient.data(), 3, 2});
  CHECK(gradient == std::vector<float>{10, 30, 30, 0, 20, 10});
  ids[2] = 3;
  CHECK_THROWS_WITH(distill::sum_weights(r, sums),
                    "sum_weights: experts[1, 0] is 3, must be in [0, 3) or -1");
  CHECK_THROWS_AS(distill::spread_slopes(r.experts, slopes, {gradient.data(), 3, 2}), distill::data_error);
  CHECK(sums == std::vector<double>{5.5, 3, 2.25});
}

TEST_CASE("the smooth load is its definition") {
  for (const std::size_t k : {1, 2, 5, 6}) {
    const noisy_batch b(40, 6);
    std::vector<double> loads(6, 3);
    CHECK(distill::smooth_load{.experts_per_token = static_cast<std::int64_t>(k)}(b.inputs(), loads) == 0);
    std::vector<double> expected = load_oracle(b.clean, b.noisy, b.sigma, 6, k);
    for (double& load : expected) load += 3;
    CHECK(distance(loads, expected) <= 1e-14);
  }
  const noisy_batch b(40, 6);
  std::vector<double> loads(6), expected = load_oracle(b.clean, b.noisy, std::vector<double>(240, 0.7), 6, 2);
  distill::smooth_load{.experts_per_token = 2}({b.view(b.clean), b.view(b.noisy), 0.7}, loads);
  CHECK(distance(loads, expected) <= 1e-14);
}

TEST_CASE("by hand: one token, two experts") {
  const std::vector<double> clean = {1, 0}, noisy = {2, 0.5};
  std::vector<double> loads(2);
  distill::smooth_load{.experts_per_token = 1}(
      {distill::matrix_view(clean.data(), 1, 2), distill::matrix_view(noisy.data(), 1, 2), 1}, loads);
  CHECK(loads[0] == Approx(0.6914624612740131));  // Φ(1 - 0.5)
  CHECK(loads[1] == Approx(0.0227501319481792));  // Φ(0 - 2)
}

TEST_CASE("the gradient of the smooth load is its derivative for fixed draws") {
  const noisy_batch b(9, 6);
  const std::vector<double> slopes = normal_values(6, 8);
  for (const std::size_t k : {1, 3, 6}) {
    const distill::smooth_load load{.experts_per_token = static_cast<std::int64_t>(k)};
    const distill::smooth_load constant{.experts_per_token = load.experts_per_token,
                                        .through_threshold = false};
    std::vector<double> of_clean(54), of_sigma(54), alone(54);
    distill::matrix_view<double> clean_view(of_clean.data(), 9, 6), sigma_view(of_sigma.data(), 9, 6);
    load.backward_with_deviation(b.inputs(), slopes, clean_view, sigma_view);
    load.backward(b.inputs(), slopes, distill::matrix_view(alone.data(), 9, 6));
    CHECK(alone == of_clean);
    const auto by_clean = differences(b.clean, [&](const auto& z) {
      return dot(slopes, load_oracle(z, b.noisy_of(z, b.sigma), b.sigma, 6, k));
    });
    const auto by_sigma = differences(b.sigma, [&](const auto& s) {
      return dot(slopes, load_oracle(b.clean, b.noisy_of(b.clean, s), s, 6, k));
    });
    CHECK(distance(of_clean, by_clean) <= 1e-8);
    CHECK(distance(of_sigma, by_sigma) <= 1e-8);
    constant.backward_with_deviation(b.inputs(), slopes, clean_view, sigma_view);
    CHECK(distance(of_clean, differences(b.clean, [&](const auto& z) {
                     return dot(slopes, load_oracle(z, b.noisy, b.sigma, 6, k));
                   })) <= 1e-8);
    CHECK(distance(of_sigma, differences(b.sigma, [&](const auto& s) {
                     return dot(slopes, load_oracle(b.clean, b.noisy, s, 6, k));
                   })) <= 1e-8);
    std::vector<double> twice = of_clean;
    constant.backward(b.inputs(), slopes, distill::matrix_view(twice.data(), 9, 6), {.accumulate = true});
    for (double& g : of_clean) g *= 2;
    CHECK(twice == of_clean);
  }
}

TEST_CASE("tokens that are masked or not finite have no load and no gradient") {
  noisy_batch b(4, 3);
  b.noisy[1] = infinity;
  b.sigma[3] = 0;
  const std::vector<float> mask = {1, 1, 1, 0};
  b.clean[9] = std::nan("");
  std::vector<double> loads(3), expected = load_oracle({b.clean.begin() + 6, b.clean.begin() + 9},
                                                       {b.noisy.begin() + 6, b.noisy.begin() + 9},
                                                       {b.sigma.begin() + 6, b.sigma.begin() + 9}, 3, 2);
  const distill::smooth_load load{.experts_per_token = 2};
  CHECK(load(b.inputs(), loads, {.token_mask = mask}) == 2);
  CHECK(distance(loads, expected) <= 1e-14);
  std::vector<double> gradient(12, 7);
  const std::vector<double> slopes = {1, -2, 3};
  load.backward(b.inputs(), slopes, distill::matrix_view(gradient.data(), 4, 3), {.token_mask = mask});
  for (const std::size_t i : {0, 1, 2, 3, 4, 5, 9, 10, 11}) CHECK(gradient[i] == 0);
  CHECK(gradient[6] != 0);
}
