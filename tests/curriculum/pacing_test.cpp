#include <catch2/catch.hpp>
#include <cmath>
#include <distill/curriculum/pacing.hpp>
#include <limits>
#include <vector>

using namespace distill;

TEST_CASE("competence follows its formula") {
  for (std::int64_t step = 0; step <= 120; ++step) {
    const double x = std::min(1.0, static_cast<double>(step) / 100);
    CHECK(pacing{.shape = competence::linear, .initial = 0.2, .steps = 100}(step) == Approx(0.2 + 0.8 * x));
    CHECK(pacing{.initial = 0.2, .steps = 100}(step) == Approx(std::sqrt(0.04 + 0.96 * x)));
    CHECK(pacing{.initial = 0.2, .steps = 100, .root = 3}(step) == Approx(std::cbrt(0.008 + 0.992 * x)));
    CHECK(pacing{.shape = competence::geometric, .initial = 0.2, .steps = 100}(step) ==
          Approx(std::pow(0.2, 1 - x)));
  }
}

TEST_CASE("competence begins at initial, ends at 1, and grows") {
  for (const competence shape : {competence::linear, competence::root, competence::geometric}) {
    const pacing pace{.shape = shape, .initial = 0.3, .steps = 50};
    CHECK(pace(0) == 0.3);
    CHECK(pace(49) < 1);
    CHECK(pace(50) == 1);
    CHECK(pace(std::numeric_limits<std::int64_t>::max()) == 1);
    for (std::int64_t step = 1; step <= 50; ++step) CHECK(pace(step) > pace(step - 1));
  }
  CHECK(pacing{.initial = 1}(0) == 1);
}

TEST_CASE("available samples: rounded up, at least one, at most all") {
  const pacing pace{.shape = competence::linear, .initial = 0.1, .steps = 10};
  CHECK(pace.available(0, 1000) == 100);
  CHECK(pace.available(0, 5) == 1);
  CHECK(pace.available(0, 0) == 0);
  CHECK(pace.available(10, 7) == 7);
  CHECK(pace.available(5, 11) == 7);  // 6.05
  CHECK(pacing{.initial = 1e-9, .steps = 10}.available(0, 7) == 1);
}

TEST_CASE("picks are among the available ones, each as likely, and reproducible") {
  const pacing pace{.shape = competence::linear, .initial = 0.5, .steps = 10};
  std::vector<int> counts(10);
  for (std::uint64_t draw = 0; draw < 10000; ++draw) {
    const std::size_t rank = pace.pick(0, 10, draw, 1);
    REQUIRE(rank < 5);
    CHECK(pace.pick(0, 10, draw, 1) == rank);
    ++counts[rank];
  }
  for (std::size_t rank = 0; rank < 5; ++rank) CHECK(std::abs(counts[rank] - 2000) < 160);  // 4 σ
  const auto differ = [&](std::int64_t step, std::uint64_t draw, std::uint64_t seed) {
    int differing = 0;
    for (std::uint64_t i = 0; i < 20; ++i)
      differing += pace.pick(10, 1000000, i, 1) != pace.pick(10 + step, 1000000, i + draw, 1 + seed);
    return differing;
  };
  CHECK(differ(0, 0, 0) == 0);
  CHECK(differ(1, 0, 0) == 20);
  CHECK(differ(0, 100, 0) == 20);
  CHECK(differ(0, 0, 1) == 20);
}

TEST_CASE("the order of difficulty: ties by index, NaN last") {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> scores = {2, nan, 1, 2, -infinity, infinity, 1, nan, -0.0, 0.0};
  std::vector<std::size_t> order(scores.size());
  difficulty_order(std::span(scores), order);
  CHECK(order == std::vector<std::size_t>{4, 8, 9, 2, 6, 0, 3, 5, 1, 7});
  std::vector<float> same(1000, 0.5f);
  std::vector<std::size_t> as_is(1000);
  difficulty_order(std::span(same), as_is);
  for (std::size_t i = 0; i < 1000; ++i) CHECK(as_is[i] == i);
  std::vector<std::size_t> none;
  difficulty_order(std::span<const float>(), none);
}

TEST_CASE("errors of pacing") {
  const std::vector<double> scores(3);
  std::vector<std::size_t> order(2, 9);
  CHECK_THROWS_WITH(difficulty_order(std::span(scores), order),
                    "difficulty_order: order has 2 entries, scores has 3");
  CHECK(order == std::vector<std::size_t>{9, 9});
  CHECK_THROWS_WITH(pacing{.initial = 0}(0), "pacing: initial must be in (0, 1], got 0");
  CHECK_THROWS_WITH(pacing{.initial = 1.1}(0), "pacing: initial must be in (0, 1], got 1.1");
  CHECK_THROWS_WITH(pacing{.steps = 0}(0), "pacing: steps must be >= 1, got 0");
  CHECK_THROWS_WITH(pacing{.root = 0}(0), "pacing: root must be > 0, got 0");
  CHECK_THROWS_WITH(pacing{}(-1), "pacing: step must be >= 0, got -1");
  CHECK_THROWS_WITH(pacing{}.pick(0, 0, 0), "pacing: samples must be >= 1, got 0");
}
