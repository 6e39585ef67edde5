#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/curriculum/mixture.hpp>
#include <limits>
#include <set>
#include <vector>

using namespace distill;

TEST_CASE("85 %, 10 %, 5 %: exact over every epoch") {
  const mixture draw({0.85, 0.10, 0.05}, 1000, 7);
  CHECK(draw.count(0) == 850);
  CHECK(draw.count(1) == 100);
  CHECK(draw.count(2) == 50);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::array<std::int64_t, 3> counts = {};
    std::array<std::set<std::int64_t>, 3> items;
    for (std::int64_t i = 0; i < 1000; ++i) {
      const mixture_draw one = draw(epoch * 1000 + i);
      REQUIRE(one.source < 3);
      ++counts[one.source];
      items[one.source].insert(one.item);
    }
    for (std::size_t source = 0; source < 3; ++source) {
      CHECK(counts[source] == draw.count(source));
      // Each number of the epoch once.
      CHECK(items[source].size() == static_cast<std::size_t>(draw.count(source)));
      CHECK(*items[source].begin() == epoch * draw.count(source));
      CHECK(*items[source].rbegin() == (epoch + 1) * draw.count(source) - 1);
    }
  }
}

TEST_CASE("counts are rounded by largest remainder, ties to the lower index") {
  const auto counts = [](const std::vector<double>& weights, std::int64_t epoch) {
    const mixture draw(weights, epoch);
    std::vector<std::int64_t> all;
    for (std::size_t i = 0; i < weights.size(); ++i) all.push_back(draw.count(i));
    return all;
  };
  CHECK(counts({1, 1, 1}, 4) == std::vector<std::int64_t>{2, 1, 1});
  CHECK(counts({1, 1, 1}, 5) == std::vector<std::int64_t>{2, 2, 1});
  CHECK(counts({5, 3, 1}, 4) == std::vector<std::int64_t>{2, 1, 1});  // 2.22, 1.33, 0.44
  CHECK(counts({0, 3, 0}, 7) == std::vector<std::int64_t>{0, 7, 0});
  CHECK(counts({1e-300, 1e300}, 3) == std::vector<std::int64_t>{0, 3});
  CHECK(counts({2}, 1) == std::vector<std::int64_t>{1});
  for (std::int64_t epoch = 1; epoch < 300; ++epoch) {
    std::int64_t sum = 0;
    const std::vector<double> weights = {0.1, 0.7, 0.2 / 3, 0.4 / 3};
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int64_t count = counts(weights, epoch)[i];
      CHECK(std::abs(static_cast<double>(count) - weights[i] * static_cast<double>(epoch)) < 1);
      sum += count;
    }
    CHECK(sum == epoch);
  }
}

TEST_CASE("the draws of any number of workers are the same draws") {
  const mixture draw({3, 2, 1}, 97, 5);
  std::vector<mixture_draw> alone;
  for (std::int64_t i = 0; i < 300; ++i) alone.push_back(draw(i));
  for (const std::int64_t workers : {2, 3, 7}) {
    std::vector<mixture_draw> together(300);
    for (std::int64_t worker = workers; worker-- > 0;) {
      const mixture own({3, 2, 1}, 97, 5);
      for (std::int64_t i = worker; i < 300; i += workers) together[static_cast<std::size_t>(i)] = own(i);
    }
    CHECK(together == alone);
  }
}

TEST_CASE("the state is a counter") {
  const mixture draw({3, 2, 1}, 50, 5);
  for (std::int64_t saved = 0; saved < 120; saved += 13)
    CHECK(mixture({3, 2, 1}, 50, 5)(saved) == draw(saved));
}

TEST_CASE("seed, epoch number and position all change the order") {
  const auto order = [](std::uint64_t seed, std::int64_t first) {
    const mixture draw({1, 1}, 64, seed);
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < 64; ++i) {
      const mixture_draw one = draw(first + i);
      all.push_back(static_cast<std::int64_t>(one.source) * 32 + one.item % 32);
    }
    return all;
  };
  CHECK(order(1, 0) == order(1, 0));
  CHECK(order(1, 0) != order(2, 0));
  CHECK(order(1, 0) != order(1, 64));
}

TEST_CASE("every place of an epoch is as likely as another") {
  // The mean of χ² over the n * n table of permutation matrices is n (n - 1); (n - 1)² degrees of freedom.
  for (const std::int64_t size : {2, 4, 5, 32, 33}) {
    const auto n = static_cast<std::size_t>(size);
    std::vector<double> counts(n * n);
    constexpr int seeds = 20000;
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      const mixture draw(std::vector<double>(n, 1.0), size, seed);
      for (std::size_t i = 0; i < n; ++i) ++counts[i * n + draw(static_cast<std::int64_t>(i)).source];
    }
    double chi_square = 0;
    const double expected = seeds / static_cast<double>(n);
    for (const double count : counts) chi_square += (count - expected) * (count - expected) / expected;
    const double degrees = static_cast<double>((n - 1) * (n - 1));
    const double scaled = chi_square * static_cast<double>(n - 1) / static_cast<double>(n);
    INFO(size << ": " << scaled << " with " << degrees << " degrees of freedom");
    CHECK(scaled < degrees + 4 * std::sqrt(2 * degrees) + 3);
    CHECK(scaled > degrees - 4 * std::sqrt(2 * degrees) - 3);
  }
}

TEST_CASE("epochs beyond any memory") {
  const mixture draw({9, 1}, std::int64_t{1} << 40, 3);
  int second = 0;
  for (std::int64_t i = 0; i < 10000; ++i) second += draw(i * 98765431).source == 1;
  CHECK(second > 850);
  CHECK(second < 1150);
}

TEST_CASE("errors of mixture") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(mixture({}, 3), "mixture: has no weights");
  CHECK_THROWS_WITH(mixture({1, -1}, 3), "mixture: weights[1] must be finite and >= 0, got -1");
  CHECK_THROWS_WITH(mixture({nan}, 3), "mixture: weights[0] must be finite and >= 0, got nan");
  CHECK_THROWS_WITH(mixture({0, 0}, 3), "mixture: the sum of weights must be finite and > 0, got 0");
  CHECK_THROWS_WITH(mixture({1}, 0), "mixture: epoch must be in [1, 2^40], got 0");
  CHECK_THROWS_WITH(mixture({1}, (std::int64_t{1} << 40) + 1),
                    "mixture: epoch must be in [1, 2^40], got 1099511627777");
  CHECK_THROWS_WITH(mixture({1}, 1)(-1), "mixture: draw must be >= 0, got -1");
}
