// Round trips, and what holds for every batch.
#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <distill/moe/capacity.hpp>
#include <distill/moe/routing_maps.hpp>

#include "moe/exchange_cases.hpp"

using namespace exchange_cases;

namespace {

batch arbitrary_batch() {
  const auto experts = *rc::gen::inRange<std::size_t>(1, 12), tokens = *rc::gen::inRange<std::size_t>(0, 40);
  const auto k = *rc::gen::inRange<std::size_t>(1, std::min<std::size_t>(experts, 5) + 1);
  return random_batch(tokens, k, experts, *rc::gen::arbitrary<std::uint32_t>(),
                      *rc::gen::inRange<std::size_t>(0, 5), *rc::gen::arbitrary<bool>());
}

}  // namespace

TEST_CASE("an order is a permutation, sorted, and its own inverse") {
  rc::prop("order", [] {
    const batch b = arbitrary_batch();
    const auto block = *rc::gen::inRange<std::size_t>(1, 9);
    stored_order order(b, distill::most_expert_rows(b.tokens, b.k, b.experts, {.block_size = block}));
    sort(b, order, {.block_size = block});
    for (std::size_t e = 0; e < b.experts; ++e) {
      RC_ASSERT(order.offsets[e] % static_cast<std::int64_t>(block) == 0);
      std::int64_t before = -1;
      for (auto row = static_cast<std::size_t>(order.offsets[e]);
           row < static_cast<std::size_t>(order.offsets[e + 1]); ++row) {
        if (order.tokens[row] < 0) continue;
        const std::int64_t i = order.tokens[row] * static_cast<std::int64_t>(b.k) + order.slots[row];
        RC_ASSERT(i > before);
        RC_ASSERT(b.ids[static_cast<std::size_t>(i)] == static_cast<int>(e));
        RC_ASSERT(order.rows[static_cast<std::size_t>(i)] == static_cast<std::int64_t>(row));
        before = i;
      }
    }
    std::vector<std::int32_t> back(b.ids.size());
    distill::experts_from_order(order.view, {back.data(), b.tokens, b.k});
    RC_ASSERT(std::vector<int>(back.begin(), back.end()) == b.ids);
  });
}

TEST_CASE("combine after dispatch is each token times the sum of its weights") {
  rc::prop("round trip", [] {
    const batch b = arbitrary_batch();
    if (b.tokens == 0) return;
    const auto width = *rc::gen::inRange<std::size_t>(1, 70);
    exchange<double> e(b, width, *rc::gen::inRange<std::size_t>(1, 5));
    stored_routing<double> routing(b);
    distill::dispatch_tokens(e.tokens.view(), e.order.view, e.row_output.view());
    distill::combine_tokens(e.row_output.view(), routing.view.weights, e.order.view, e.token_output.view());
    for (std::size_t t = 0; t < b.tokens; ++t) {
      double sum = 0;
      for (std::size_t j = 0; j < b.k; ++j) sum += b.weight(t, j);
      for (std::size_t c = 0; c < width; ++c)
        RC_ASSERT(std::abs(e.token_output.at(t, c) - sum * e.tokens.at(t, c)) <= 1e-13);
    }
  });
}

TEST_CASE("a capacity holds, keeps all if it can, and applied twice changes nothing more") {
  rc::prop("capacity", [] {
    const batch b = arbitrary_batch();
    const auto priority = static_cast<distill::capacity_priority>(*rc::gen::inRange(0, 4));
    const distill::capacity limit{.tokens_per_expert = *rc::gen::inRange<std::int64_t>(0, 20),
                                  .priority = priority};
    stored_routing<float> routed(b), kept(b), again(b);
    const auto report = limit(routed.view, kept.view, b.experts);
    std::int64_t before = 0, after = 0, fitting = 0;
    for (std::size_t e = 0; e < b.experts; ++e) {
      const auto count = [&](const auto& ids) {
        return std::count(ids.begin(), ids.end(), static_cast<int>(e));
      };
      RC_ASSERT(count(kept.ids) == std::min<std::int64_t>(count(routed.ids), *limit.tokens_per_expert));
      before += count(routed.ids), after += count(kept.ids), fitting += count(kept.ids);
    }
    RC_ASSERT(report.assignments == before);
    RC_ASSERT(report.dropped == before - after);
    RC_ASSERT(limit(kept.view, again.view, b.experts).dropped == 0);
    RC_ASSERT(again.ids == kept.ids);
  });
}

TEST_CASE("what a capacity keeps fits the rows of its experts") {
  rc::prop("rows_per_expert", [] {
    const batch b = arbitrary_batch();
    if (b.tokens == 0) return;
    stored_routing<float> routed(b);
    std::vector<std::int32_t> locations(b.ids.size());
    const auto report = distill::capacity{.factor = 1}(routed.view, routed.view, b.experts,
                                                       {.locations = {locations.data(), b.tokens, b.k}});
    const auto rows = static_cast<std::size_t>(report.tokens_per_expert);
    stored_order order(b, rows * b.experts);
    distill::order_by_expert(routed.view.experts, order.view, {.rows_per_expert = rows});
    for (std::size_t i = 0; i < b.ids.size(); ++i)
      RC_ASSERT(order.rows[i] ==
                (routed.ids[i] < 0 ? -1 : routed.ids[i] * report.tokens_per_expert + locations[i]));
  });
}
