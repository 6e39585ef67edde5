#include <catch2/catch.hpp>
#include <cmath>
#include <distill/schedule/ctkd.hpp>
#include <limits>

using namespace distill;

TEST_CASE("ctkd: λ falls from 0 to -1 by a half cosine") {
  const ctkd rule;
  CHECK(rule.lambda(0) == 0);
  CHECK(rule.lambda(5) == Approx(-0.5).epsilon(1e-15));
  CHECK(rule.lambda(10) == -1);
  CHECK(rule.lambda(11) == -1);
  for (std::int64_t epoch = 0; epoch <= 10; ++epoch)
    CHECK(rule.lambda(epoch) ==
          Approx((std::cos(3.14159265358979323846 * static_cast<double>(epoch) / 10) - 1) / 2).margin(1e-15));
  CHECK(ctkd{.strength = -0.5}.lambda(10) == -0.5);
  CHECK(ctkd{.epochs = 20}.lambda(10) == Approx(-0.5));
}

TEST_CASE("ctkd: the temperature climbs the loss") {
  const ctkd rule;
  const auto loss = [](double temperature) { return (temperature - 12) * (temperature - 12); };
  const ctkd_state state{.parameter = 0.25, .epoch = 10};
  const double temperature = rule.temperature(state), slope = 2 * (temperature - 12);
  CHECK(temperature == Approx(1 + 20 / (1 + std::exp(-0.25))));
  const ctkd_state after = rule.advance(state, slope, 1e-4);
  CHECK(loss(rule.temperature(after)) > loss(temperature));
  CHECK(after.epoch == state.epoch);
  // dLoss/dθ by differences.
  const auto at = [&](double parameter) { return loss(rule.temperature({.parameter = parameter})); };
  const double by_parameter = (at(0.25 + 1e-5) - at(0.25 - 1e-5)) / 2e-5;
  CHECK(after.parameter - state.parameter == Approx(1e-4 * by_parameter).epsilon(1e-7));
  CHECK(rule.advance({.parameter = 0.25, .epoch = 0}, slope, 1e-4).parameter == 0.25);
}

TEST_CASE("every option of ctkd matters") {
  CHECK(ctkd{}.temperature({}) != ctkd{.lowest = 2}.temperature({}));
  CHECK(ctkd{}.temperature({}) != ctkd{.span = 10}.temperature({}));
  const ctkd_state late{.epoch = 10};
  CHECK(!(ctkd{}.advance(late, 1, 0.1) == ctkd{.span = 10}.advance(late, 1, 0.1)));
  CHECK(!(ctkd{}.advance(late, 1, 0.1) == ctkd{.strength = -0.5}.advance(late, 1, 0.1)));
  CHECK(!(ctkd{}.advance(late, 1, 0.1) == ctkd{.epochs = 30}.advance(late, 1, 0.1)));
}

TEST_CASE("errors of ctkd") {
  CHECK_THROWS_WITH(ctkd{.lowest = 0}.temperature({}), "ctkd: lowest must be > 0, got 0");
  CHECK_THROWS_WITH(ctkd{.strength = 1}.lambda(3), "ctkd: strength must be <= 0, got 1");
  CHECK_THROWS_WITH(ctkd{.epochs = 0}.lambda(3), "ctkd: epochs must be >= 1, got 0");
  CHECK_THROWS_WITH(ctkd{}.advance({}, std::numeric_limits<double>::quiet_NaN(), 0.1),
                    "ctkd: loss_slope must be finite, got nan");
  CHECK_THROWS_WITH(ctkd{}.advance({}, 1, -0.1), "ctkd: learning_rate must be >= 0 and finite, got -0.1");
}
