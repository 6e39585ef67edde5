// Orders by expert: against the definition, with every kind of padding, any strides and any executor.
#include <catch2/catch.hpp>

#include "moe/routed_batch.hpp"
#include "support/block_executor.hpp"

using namespace routed_batch;
using dispatch_oracle::sorted;

namespace {

template <class A, class B>
std::vector<long long> wide(const A& a, B count) {
  return std::vector<long long>(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(count));
}

void check(const batch& b, const distill::expert_order_options& options, std::size_t more = 3) {
  const auto expected = sorted(b, options.block_size, options.rows_per_expert);
  const std::size_t rows = expected.tokens.size();
  CHECK(rows <= distill::most_expert_rows(b.tokens, b.k, b.experts, options));
  stored_order order(b, rows + more);
  stored_routing<float> routing(b);
  CHECK(distill::order_by_expert(routing.view.experts, order.view, options) == rows);
  CHECK(wide(order.offsets, order.offsets.size()) == expected.offsets);
  CHECK(wide(order.rows, order.rows.size()) == expected.rows);
  CHECK(wide(order.tokens, rows) == wide(expected.tokens, rows));
  CHECK(wide(order.slots, rows) == wide(expected.slots, rows));
  for (std::size_t row = rows; row < rows + more; ++row) {
    CHECK(order.tokens[row] == stored_order::untouched);
    CHECK(order.slots[row] == stored_order::untouched);
  }
}

}  // namespace

TEST_CASE("an order is what its definition says, for any padding") {
  for (const std::size_t experts : {1u, 2u, 8u, 65u})
    for (const std::size_t k : {1u, 2u, 6u})
      for (const std::size_t tokens : {0u, 1u, 7u, 100u})
        for (const std::size_t every : {0u, 3u, 1u}) {
          if (k > experts) continue;
          const batch b = random_batch(tokens, k, experts, tokens + k, every);
          CAPTURE(experts, k, tokens, every);
          check(b, {});
          check(b, {.block_size = 4});
          check(b, {.block_size = 16});
          check(b, {.rows_per_expert = 104});
          check(b, {.block_size = 8, .rows_per_expert = 104});
        }
}

TEST_CASE("all tokens to one expert, and an expert chosen twice by one token") {
  batch b{5, 2, 3, std::vector<int>(10, 1), std::vector<double>(10, 0.5)};
  check(b, {});
  check(b, {.block_size = 16});
}

TEST_CASE("the most rows are reached by a batch that pads every expert") {
  CHECK(distill::most_expert_rows(100, 2, 8) == 200);
  CHECK(distill::most_expert_rows(100, 2, 8, {.block_size = 16}) == 320);  // 200 + 8 * 15, whole blocks
  CHECK(distill::most_expert_rows(1, 2, 8, {.block_size = 16}) == 32);
  CHECK(distill::most_expert_rows(100, 2, 8, {.rows_per_expert = 30}) == 240);
  CHECK(distill::most_expert_rows(0, 2, 8) == 0);
}

TEST_CASE("strided ids and outputs, and outputs that are not wanted") {
  const batch b = random_batch(50, 3, 5, 9, 4);
  const auto expected = sorted(b, 4);
  const std::size_t n = expected.tokens.size();
  std::vector<std::int32_t> ids(50 * 10, 1234567), tokens(2 * n), slots(3 * n);
  std::vector<std::int64_t> offsets(2 * 6), rows(150);
  const distill::matrix_view<std::int32_t> experts(ids.data() + 9, 50, 3, 10, -4);
  for (std::size_t i = 0; i < b.ids.size(); ++i) experts(i / 3, i % 3) = b.ids[i];
  const distill::expert_order full{
      {offsets.data(), 6, 2}, {tokens.data(), n, 2}, {slots.data(), n, 3}, {rows.data(), 50, 3, 1, 50}};
  for (int wanted = 0; wanted < 8; ++wanted) {
    std::fill(tokens.begin(), tokens.end(), -9), std::fill(slots.begin(), slots.end(), -9);
    std::fill(rows.begin(), rows.end(), -9);
    distill::expert_order order{full.offsets};
    if (wanted & 1) order.tokens = full.tokens;
    if (wanted & 2) order.slots = full.slots;
    if (wanted & 4) order.rows = full.rows;
    CHECK(distill::order_by_expert(experts, order, {.block_size = 4}) == n);
    for (std::size_t e = 0; e < 6; ++e) CHECK(full.offsets[e] == expected.offsets[e]);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(full.tokens[i] == (wanted & 1 ? expected.tokens[i] : -9));
      CHECK(full.slots[i] == (wanted & 2 ? expected.slots[i] : -9));
    }
    for (std::size_t i = 0; i < 150; ++i)
      CHECK(full.rows(i / 3, i % 3) == (wanted & 4 ? expected.rows[i] : -9));
  }
}

TEST_CASE("the executor leaves no trace in an order, and the workspace is kept") {
  const batch b = random_batch(20000, 4, 33, 5, 7);
  const std::size_t n = distill::most_expert_rows(b.tokens, b.k, b.experts, {.block_size = 8});
  stored_order alone(b, n);
  sort(b, alone, {.block_size = 8});
  for (const std::size_t workers : {1u, 2u, 3u, 7u, 100u}) {
    support::block_executor executor(workers, 1);
    distill::workspace memory;
    stored_order order(b, n);
    sort(b, order, {.block_size = 8, .executor = executor, .workspace = &memory});
    CHECK(executor.calls() == 2);
    CHECK(order.offsets == alone.offsets);
    CHECK(order.rows == alone.rows);
    CHECK(order.tokens == alone.tokens);
    CHECK(order.slots == alone.slots);
    const std::size_t held = memory.size();
    CHECK(held >= 34 * 8);
    sort(b, order, {.block_size = 8, .executor = executor, .workspace = &memory});
    CHECK(memory.size() == held);
  }
}

TEST_CASE("out of an order come the experts that went in") {
  for (const std::size_t every : {0u, 2u, 1u}) {
    const batch b = random_batch(40, 3, 7, 3, every);
    stored_order order(b, 200);
    sort(b, order, {.block_size = 4});
    std::vector<std::int32_t> ids(120, 99);
    distill::experts_from_order(order.view, {ids.data(), 40, 3});
    CHECK(std::vector<int>(ids.begin(), ids.end()) == b.ids);
  }
}

TEMPLATE_TEST_CASE("weights go into order and come back", "", float, double) {
  const batch b = random_batch(40, 3, 7, 3, 5);
  stored_order order(b, 200);
  sort(b, order, {.block_size = 4});
  stored_routing<TestType> routing(b);
  const auto expected = sorted(b, 4);
  std::vector<TestType> in_order(200, 99), back(120, 99);
  distill::weights_in_order(routing.view.weights, order.view, in_order);
  for (std::size_t row = 0; row < expected.tokens.size(); ++row) {
    const int t = expected.tokens[row], j = expected.slots[row];
    CHECK(in_order[row] == (t < 0 ? 0 : routing.weights[static_cast<std::size_t>(t * 3 + j)]));
  }
  CHECK(in_order[expected.tokens.size()] == 99);
  distill::weights_from_order(distill::vector_view<const TestType>(in_order), order.view,
                              {back.data(), 40, 3});
  CHECK(back == routing.weights);
}
