// Gradients of balance losses and of the z-loss, against central differences of the losses themselves in
// double.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"
#include "support/block_executor.hpp"
#include "support/guarded_matrix.hpp"

using namespace router_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t tokens = 12, experts = 7, k = 2;

// The loss of new logits with the choice of the old: f is constant.
double switch_value(const batch& b, const std::vector<double>& logits, const distill::switch_loss& loss,
                    const distill::token_options& options) {
  batch moved = b;
  moved.scores = b.scores_of(logits);
  owned_statistics s(experts);
  distill::count_statistics(moved.id_view(), moved.score_view(), s.view, options);
  return loss(s.view);
}

double z_value(const std::vector<double>& logits, const std::vector<float>& mask, double coefficient) {
  real squares = 0, counted = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    if (!mask.empty() && mask[t] == 0) continue;
    real sum = 0;
    for (std::size_t i = 0; i < experts; ++i) sum += std::exp(static_cast<real>(logits[t * experts + i]));
    squares += std::log(sum) * std::log(sum);
    counted += 1;
  }
  return static_cast<double>(coefficient * squares / counted);
}

const std::vector<float> some = {1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1};

}  // namespace

TEST_CASE("slopes become the gradient of the logits") {
  for (const bool sigmoid : {false, true})
    for (const bool masked : {false, true}) {
      const batch b(tokens, experts, k, 40, sigmoid);
      distill::token_options options = b.options();
      if (masked) options.token_mask = some;
      owned_statistics s(experts);
      distill::count_statistics(b.id_view(), b.score_view(), s.view, options);
      const distill::switch_loss loss{.coefficient = 3, .experts_per_token = k};
      std::vector<double> slopes(experts), gradient(tokens * experts, 7);
      loss(s.view, slopes);
      distill::balance_backward(b.score_view(), slopes,
                                distill::matrix_view(gradient.data(), tokens, experts), options);
      const auto expected =
          differences(b.logits, [&](const auto& z) { return switch_value(b, z, loss, options); });
      CAPTURE(sigmoid, masked);
      CHECK(distance(gradient, expected) <= 1e-8);
    }
}

TEST_CASE("each sequence has its own slopes") {
  for (const bool sigmoid : {false, true}) {
    const batch b(tokens, experts, k, 41, sigmoid);
    const std::size_t sequences = 3;
    const distill::sequence_balance_loss loss{.coefficient = 3, .experts_per_token = k};
    const auto evaluate = [&](const batch& at, distill::matrix_view<double> slopes) {
      std::vector<std::int64_t> counts(sequences * experts), counted(sequences);
      std::vector<double> sums(sequences * experts);
      const distill::sequence_statistics s{
          {counts.data(), sequences, experts}, {sums.data(), sequences, experts}, counted};
      distill::count_sequence_statistics(at.id_view(), at.score_view(), s, at.options());
      return loss(s, slopes);
    };
    std::vector<double> slopes(sequences * experts), gradient(tokens * experts);
    evaluate(b, {slopes.data(), sequences, experts});
    distill::balance_backward(b.score_view(),
                              distill::matrix_view<const double>(slopes.data(), sequences, experts),
                              distill::matrix_view(gradient.data(), tokens, experts), b.options());
    const auto expected = differences(b.logits, [&](const auto& z) {
      batch moved = b;
      moved.scores = b.scores_of(z);
      return evaluate(moved, {});
    });
    CHECK(distance(gradient, expected) <= 1e-8);
  }
}

TEST_CASE("any layout, element type and executor; in place; added") {
  const batch b(100, 9, k, 42);
  const std::vector<double> slopes = normal_values(9, 43);
  std::vector<double> expected(900);
  distill::balance_backward(b.score_view(), slopes, distill::matrix_view(expected.data(), 100, 9));
  for (const layout how :
       {layout::compact, layout::padded_rows, layout::column_major, layout::reversed_rows}) {
    const guarded_matrix<float> scores(100, b.scores, how);
    guarded_matrix<float> gradient(100, 9, how);
    distill::balance_backward(scores.view(), slopes, gradient.view());
    CHECK(gradient.is_intact());
    std::vector<double> got;
    for (std::size_t i = 0; i < 900; ++i) got.push_back(gradient.at(i / 9, i % 9));
    CHECK(distance(got, expected) <= 3e-7);
    const auto bits = gradient.bits();
    for (const std::size_t workers : {1, 3}) {
      support::block_executor executor(workers, 7);
      distill::balance_backward(scores.view(), slopes, gradient.view(), {.executor = executor});
      CHECK(executor.calls() == 1);
      CHECK(gradient.bits() == bits);
    }
    guarded_matrix<float> in_place(100, b.scores, how);
    distill::balance_backward(in_place.view(), slopes, in_place.view());
    CHECK(in_place.bits() == bits);
    distill::balance_backward(scores.view(), slopes, gradient.view(), {.accumulate = true});
    for (std::size_t i = 0; i < 900; ++i) CHECK(gradient.at(i / 9, i % 9) == 2 * in_place.at(i / 9, i % 9));
  }
  const guarded_matrix<distill::bfloat16> halves(100, b.scores);
  guarded_matrix<float> wide(100, 9);
  distill::balance_backward(halves.view(), slopes, wide.view());
  CHECK(std::abs(wide.at(50, 3) - expected[50 * 9 + 3]) < 0.02 * std::abs(expected[50 * 9 + 3]) + 1e-3);
}

TEST_CASE("tokens without probabilities do not move") {
  for (const bool sigmoid : {false, true}) {
    batch b(4, 3, 1, 44, sigmoid);
    b.scores[0] = std::nan("");
    b.scores[4] = infinity;
    for (std::size_t i = 6; i < 9; ++i) b.scores[i] = 0;
    std::vector<double> gradient(12, 7);
    const std::vector<double> slopes = {1, 2, 4};
    distill::balance_backward(b.score_view(), slopes, distill::matrix_view(gradient.data(), 4, 3),
                              b.options());
    for (std::size_t i = 0; i < 9; ++i) CHECK(gradient[i] == 0);
    CHECK(gradient[9] != 0);
    distill::token_options options = b.options();
    options.accumulate = true;
    gradient.assign(12, 7);
    distill::balance_backward(b.score_view(), slopes, distill::matrix_view(gradient.data(), 4, 3), options);
    for (std::size_t i = 0; i < 9; ++i) CHECK(gradient[i] == 7);
  }
}

TEST_CASE("router_z_loss of logits: value and derivative") {
  const std::vector<double> logits = normal_values(tokens * experts, 45, 2);
  const distill::router_z_loss loss{.coefficient = 0.7};
  for (const bool masked : {false, true}) {
    const std::vector<float> mask = masked ? some : std::vector<float>{};
    const distill::matrix_view<const double> z(logits.data(), tokens, experts);
    std::vector<double> gradient(tokens * experts, 7);
    const distill::matrix_view<double> g(gradient.data(), tokens, experts);
    const double value = loss.with_gradient(z, g, {}, {.token_mask = mask});
    CHECK(value == Approx(z_value(logits, mask, 0.7)).epsilon(1e-13));
    CHECK(distance(gradient, differences(logits, [&](const auto& at) { return z_value(at, mask, 0.7); })) <=
          1e-8);
    std::vector<double> twice = gradient;
    loss.with_gradient(z, distill::matrix_view(twice.data(), tokens, experts), {},
                       {.token_mask = mask, .accumulate = true});
    for (std::size_t i = 0; i < twice.size(); ++i) CHECK(twice[i] == 2 * gradient[i]);
    // Twice the tokens in the whole batch.
    std::vector<double> half(tokens * experts);
    const double count = masked ? 20 : 24;
    CHECK(loss.with_gradient(z, distill::matrix_view(half.data(), tokens, experts), {.denominator = count},
                             {.token_mask = mask}) == Approx(value / 2).epsilon(1e-14));
    for (double& x : half) x *= 2;
    CHECK(distance(half, gradient) <= 1e-14);
  }
}

TEST_CASE("router_z_loss of statistics is that of logits; bad tokens are left out") {
  std::vector<double> logits = normal_values(tokens * experts, 46, 2);
  logits[3] = infinity;
  logits[10] = std::nan("");
  const std::vector<float> mask = {0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const std::vector<float> all(tokens, 1);
  const guarded_matrix<float> z(tokens, logits, layout::column_major);
  guarded_matrix<float> gradient(tokens, experts, layout::padded_rows),
      masked(tokens, experts, layout::padded_rows);
  const distill::router_z_loss loss{.coefficient = 0.7};
  distill::workspace memory;
  const double value = loss.with_gradient(z.view(), gradient.view(), {}, {}, &memory);
  CHECK(memory.size() > 0);
  CHECK(value == Approx(z_value(logits, mask, 0.7)).epsilon(1e-6));
  for (std::size_t i = 0; i < 2 * experts; ++i) CHECK(gradient.at(i / experts, i % experts) == 0);
  loss.with_gradient(z.view(), masked.view(), {}, {.token_mask = mask});
  CHECK(masked.bits() == gradient.bits());
  CHECK(gradient.is_intact());
  distill::router_statistics s;
  s.tokens = 4;
  s.squared_log_sum_exp = 10;
  CHECK(loss(s) == Approx(0.7 * 10 / 4));
  CHECK(loss.slope(s) == Approx(0.7 / 4));
  CHECK(loss.slope(s, {.denominator = 8}) == Approx(0.7 / 8));
  CHECK(loss(s, {.denominator = 8}) == Approx(0.7 * 10 / 8));
}
