#include <catch2/catch.hpp>
#include <cmath>
#include <distill/schedule/taid.hpp>
#include <limits>
#include <vector>

using namespace distill;

namespace {

/// The algorithm of the paper, written again in long double.
long double reference_after(const std::vector<double>& losses, long double start, long double stop,
                            long double rate, long double beta, long double steps) {
  long double t = start, m = 0;
  for (std::size_t n = 1; n < losses.size(); ++n) {
    m = beta * m + (1 - beta) * (losses[n - 1] - static_cast<long double>(losses[n])) / losses[n - 1];
    const long double line = start + (stop - start) * static_cast<long double>(n) / steps;
    t = std::min(stop, std::max(line, t + rate / (1 + std::exp(-m)) * (1 - t)));
  }
  return t;
}

taid_state run(const taid& rule, const std::vector<double>& losses, taid_state state, std::size_t first = 0) {
  for (std::size_t n = first; n < losses.size(); ++n)
    state = rule.advance(state, losses[n], static_cast<std::int64_t>(n));
  return state;
}

std::vector<double> falling_losses(std::size_t count) {
  std::vector<double> losses;
  for (std::size_t n = 0; n < count; ++n)
    losses.push_back(3 / (1 + 0.01 * static_cast<double>(n)) + 0.2 * std::sin(static_cast<double>(n)));
  return losses;
}

}  // namespace

TEST_CASE("taid follows the algorithm") {
  const std::vector<double> losses = falling_losses(300);
  // Slow enough that the line leads, and fast enough that the momentum does.
  for (const taid& rule : {taid{.steps = 1000}, taid{.rate = 0.05, .momentum = 0.9, .steps = 1000},
                           taid{.start = 0.1, .stop = 0.8, .rate = 0.01, .steps = 5000}}) {
    const double expected = static_cast<double>(reference_after(
        losses, rule.start, rule.stop, rule.rate, rule.momentum, static_cast<long double>(rule.steps)));
    CHECK(run(rule, losses, rule.initial()).interpolation == Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("taid rises, and not beyond its end") {
  const taid rule{.start = 0.2, .stop = 0.9, .rate = 0.02, .steps = 200};
  taid_state state = rule.initial();
  CHECK(state.interpolation == 0.2);
  double previous = 0.2;
  for (std::int64_t step = 0; step < 400; ++step) {
    state = rule.advance(state, step % 3 == 0 ? 5.0 : 1.0, step);
    CHECK(state.interpolation >= previous);
    CHECK(state.interpolation <= 0.9);
    if (step == 0) CHECK(state.interpolation == 0.2);
    if (step >= 200) CHECK(state.interpolation == 0.9);
    previous = state.interpolation;
  }
}

TEST_CASE("a saved taid goes on with the same bits") {
  const taid rule{.rate = 0.01, .steps = 1000};
  const std::vector<double> losses = falling_losses(100);
  const taid_state whole = run(rule, losses, rule.initial());
  taid_state saved = rule.initial();
  for (std::size_t n = 0; n < losses.size(); ++n) {
    CHECK(run(rule, losses, saved, n) == whole);
    saved = rule.advance(saved, losses[n], static_cast<std::int64_t>(n));
  }
}

TEST_CASE("losses that cannot be compared") {
  const taid rule{.steps = 1000};
  const taid_state before = run(rule, {3, 2}, rule.initial());
  const taid_state after = rule.advance(before, std::numeric_limits<double>::quiet_NaN(), 2);
  CHECK(after.momentum == before.momentum);
  CHECK(after.previous_loss == before.previous_loss);
  CHECK(after.interpolation > before.interpolation);
  const taid_state from_zero = run(rule, {0, 2}, rule.initial());
  CHECK(from_zero.momentum == 0);
  CHECK(from_zero.previous_loss == 2);
}

TEST_CASE("every option of taid matters") {
  const std::vector<double> losses = falling_losses(50);
  const auto end = [&](const taid& rule) { return run(rule, losses, rule.initial()).interpolation; };
  const taid rule{.rate = 0.01, .steps = 1000};
  CHECK(end({.start = 0.3, .rate = 0.01, .steps = 1000}) != end(rule));
  CHECK(end({.rate = 0.02, .steps = 1000}) != end(rule));
  CHECK(end({.rate = 0.01, .momentum = 0.5, .steps = 1000}) != end(rule));
  CHECK(end({.rate = 0.01, .steps = 60}) != end(rule));
  CHECK(end({.stop = 0.5, .rate = 0.01, .steps = 1000}) != end(rule));
}

TEST_CASE("errors of taid") {
  CHECK_THROWS_WITH(taid{.start = -0.1}.initial(), "taid: start must be in [0, 1], got -0.1");
  CHECK_THROWS_WITH((taid{.start = 0.5, .stop = 0.4}.initial()), "taid: stop must be >= start, got 0.4");
  CHECK_THROWS_WITH(taid{.steps = 0}.initial(), "taid: steps must be >= 1, got 0");
  CHECK_THROWS_WITH(taid{}.advance({}, 1, -1), "taid: step must be >= 0, got -1");
}
