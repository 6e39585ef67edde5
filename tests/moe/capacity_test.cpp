// Capacities: who survives by every rule, against a brute-force answer; rounding, weights, locations.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/moe/capacity.hpp>
#include <limits>

#include "moe/routed_batch.hpp"
#include "support/block_executor.hpp"

using namespace routed_batch;
using dispatch_oracle::rule;
using distill::capacity;
using distill::capacity_priority;

namespace {

constexpr std::pair<capacity_priority, rule> rules[] = {{capacity_priority::position, rule::position},
                                                        {capacity_priority::weight, rule::weight},
                                                        {capacity_priority::choice, rule::choice},
                                                        {capacity_priority::best_weight, rule::best_weight}};

template <class Weight>
void check(const batch& b, const capacity& limit, rule how, std::int64_t most,
           const distill::executor_ref& executor = {}) {
  const std::vector<bool> expected = dispatch_oracle::survivors(b, how, most);
  stored_routing<Weight> routed(b), kept(b);
  std::fill(kept.ids.begin(), kept.ids.end(), 99);
  std::vector<std::uint8_t> dropped(b.ids.size(), 9);
  std::vector<std::int32_t> locations(b.ids.size(), 99);
  const distill::capacity_options options{.dropped = {dropped.data(), b.tokens, b.k},
                                          .locations = {locations.data(), b.tokens, b.k},
                                          .executor = executor};
  const distill::capacity_report report = limit(routed.view, kept.view, b.experts, options);
  batch after = b;
  std::int64_t assignments = 0, lost = 0;
  for (std::size_t i = 0; i < b.ids.size(); ++i) {
    assignments += b.ids[i] >= 0;
    lost += b.ids[i] >= 0 && !expected[i];
    if (!expected[i]) after.ids[i] = -1;
    CHECK(kept.ids[i] == after.ids[i]);
    CHECK(dropped[i] == (b.ids[i] >= 0 && !expected[i] ? 1 : 0));
    if (!expected[i]) CHECK(kept.weights[i] == 0);
    if (expected[i] && !std::isnan(b.weights[i])) CHECK(kept.weights[i] == routed.weights[i]);
  }
  CHECK(report == distill::capacity_report{most, assignments, lost});
  const auto order = dispatch_oracle::sorted(after);
  for (std::size_t i = 0; i < b.ids.size(); ++i)
    CHECK(locations[i] ==
          (after.ids[i] < 0 ? -1 : order.rows[i] - order.offsets[static_cast<std::size_t>(after.ids[i])]));
  limit(routed.view, routed.view, b.experts);  // in place
  CHECK(routed.ids == kept.ids);
}

}  // namespace

TEST_CASE("every rule drops whom its definition says") {
  for (const auto& [priority, how] : rules)
    for (const std::size_t experts : {1u, 3u, 8u})
      for (const std::size_t every : {0u, 4u, 1u})
        for (const bool ties : {false, true})
          for (const std::int64_t most : {0, 1, 3, 10, 1000}) {
            const batch b =
                random_batch(40, std::min<std::size_t>(experts, 3), experts, 40 + experts, every, ties);
            CAPTURE(static_cast<int>(priority), experts, every, ties, most);
            check<float>(b, {.tokens_per_expert = most, .priority = priority}, how, most);
            check<double>(b, {.tokens_per_expert = most, .priority = priority}, how, most);
          }
}

TEST_CASE("ties, NaN, infinities and signed zeros have a defined order") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const batch b{10, 1, 1, std::vector<int>(10, 0), {-0.0, nan, 0.0, -infinity, 1, 1, infinity, nan, -2, 0.0}};
  for (const auto& [priority, how] : rules)
    for (std::int64_t most = 0; most <= 10; ++most) {
      CAPTURE(static_cast<int>(priority), most);
      check<float>(b, {.tokens_per_expert = most, .priority = priority}, how, most);
      check<double>(b, {.tokens_per_expert = most, .priority = priority}, how, most);
    }
}

TEST_CASE("the rules differ") {
  // Expert 0 takes two. Tokens 0 and 1 chose it second.
  const batch b{4, 2, 3, {1, 0, 2, 0, 0, 1, 0, 2}, {0.9, 0.3, 0.6, 0.4, 0.5, 0.5, 0.7, 0.2}};
  const auto survivors_of = [&](capacity_priority priority) {
    stored_routing<float> routed(b);
    capacity{.tokens_per_expert = 2, .priority = priority}(routed.view, routed.view, 3);
    std::vector<int> tokens;
    for (std::size_t i = 0; i < 8; ++i)
      if (routed.ids[i] == 0) tokens.push_back(static_cast<int>(i / 2));
    return tokens;
  };
  CHECK(survivors_of(capacity_priority::position) == std::vector<int>{0, 1});
  CHECK(survivors_of(capacity_priority::weight) == std::vector<int>{2, 3});
  CHECK(survivors_of(capacity_priority::choice) == std::vector<int>{2, 3});
  const batch by_token{3, 1, 1, {0, 0, 0}, {0.1, 0.9, 0.5}};
  stored_routing<float> routed(by_token);
  capacity{.tokens_per_expert = 1, .priority = capacity_priority::choice}(routed.view, routed.view, 1);
  CHECK(routed.ids == std::vector<std::int32_t>{0, -1, -1});
  stored_routing<float> best(by_token);
  capacity{.tokens_per_expert = 1, .priority = capacity_priority::best_weight}(best.view, best.view, 1);
  CHECK(best.ids == std::vector<std::int32_t>{-1, 0, -1});
}

TEST_CASE("a factor is rounded up, except what rounding itself adds") {
  CHECK(capacity{}.of(100, 2, 8) == 25);
  CHECK(capacity{.factor = 1.25}.of(100, 2, 8) == 32);
  CHECK(capacity{.factor = 1.1}.of(10, 1, 1) == 10);    // never more than there are assignments
  CHECK(capacity{.factor = 1.1}.of(100, 1, 10) == 11);  // 100 * 1.1 / 10 is more than 11 in double
  CHECK(capacity{.factor = 1.1}.of(101, 1, 10) == 12);
  CHECK(capacity{.factor = 1e300}.of(100, 2, 8) == 200);
  CHECK(capacity{.factor = 1e-300}.of(100, 2, 8) == 1);
  CHECK(capacity{.factor = 0.5, .minimum = 4}.of(8, 1, 4) == 4);
  CHECK(capacity{.factor = 2, .minimum = 4}.of(0, 2, 4) == 4);
  CHECK(capacity{}.of(0, 2, 4) == 0);
  CHECK(capacity{.tokens_per_expert = 3, .factor = 7, .minimum = 9}.of(100, 2, 8) == 3);
}

TEST_CASE("surviving weights are rescaled to the sum that is asked for") {
  const batch b{3, 3, 3, {0, 1, 2, 0, 1, 2, 0, 1, -1}, {0.5, 0.25, 0.25, 0.5, 0.3, 0.2, 0.6, 0.4, 0}};
  stored_routing<double> routed(b), kept(b);
  capacity{.tokens_per_expert = 1, .weight_sum = 3.0}(routed.view, kept.view, 3);
  CHECK(kept.weights[0] == Approx(1.5));
  CHECK(kept.weights[1] == Approx(0.75));
  CHECK(kept.weights[3] == 0);
  capacity{.tokens_per_expert = 2, .weight_sum = 1.0}(routed.view, kept.view, 3);
  for (std::size_t t = 0; t < 2; ++t)
    CHECK(kept.weights[3 * t] + kept.weights[3 * t + 1] + kept.weights[3 * t + 2] == Approx(1));
  CHECK(kept.weights[6] == 0);
  const batch zeros{1, 2, 2, {0, 1}, {0, 0}};
  stored_routing<float> nothing(zeros);
  capacity{.weight_sum = 1.0}(nothing.view, nothing.view, 2);
  CHECK(nothing.weights == std::vector<float>{0, 0});
  CHECK(nothing.ids == std::vector<std::int32_t>{0, 1});
}

TEST_CASE("the executor and a kept workspace change nothing") {
  const batch b = random_batch(300, 4, 9, 77, 5, true);
  for (const auto& [priority, how] : rules)
    for (const std::size_t workers : {2u, 7u}) {
      support::block_executor executor(workers, 2);
      check<float>(b, {.tokens_per_expert = 50, .priority = priority}, how, 50, executor);
      CHECK((executor.calls() > 0) == (priority == capacity_priority::weight));
    }
  distill::workspace memory;
  stored_routing<float> routed(b), kept(b);
  const capacity limit{.tokens_per_expert = 50, .priority = capacity_priority::weight};
  limit(routed.view, kept.view, 9, {.workspace = &memory});
  const std::size_t held = memory.size();
  CHECK(held > 0);
  const auto first = kept.ids;
  limit(routed.view, kept.view, 9, {.workspace = &memory});
  CHECK(memory.size() == held);
  CHECK(kept.ids == first);
}

TEST_CASE("no tokens") {
  batch b;
  b.k = 2, b.experts = 4;
  stored_routing<float> routed(b);
  for (const auto& [priority, how] : rules)
    CHECK(capacity{.priority = priority}(routed.view, routed.view, 4) == distill::capacity_report{});
}
