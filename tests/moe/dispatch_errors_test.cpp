// What orders, exchanges and capacities refuse, in which words, and that nothing is written then.
#include <catch2/catch.hpp>
#include <distill/moe/capacity.hpp>

#include "moe/exchange_cases.hpp"

using namespace exchange_cases;
using distill::matrix_view;

namespace {

batch small() { return {3, 2, 4, {0, 3, 3, -1, 1, 0}, {0.5, 0.5, 1, 0, 0.25, 0.75}}; }

}  // namespace

TEST_CASE("what order_by_expert refuses") {
  batch b = small();
  stored_order order(b, 6);
  const auto refused = [&](auto f, const std::string& text) {
    CHECK_THROWS_WITH(f(), text);
    CHECK(order.is_untouched());
  };
  const auto sorted_with = [&](const distill::expert_order& into,
                               const distill::expert_order_options& options = {}) {
    return [&b, into, options] {
      stored_routing<float> routing(b);
      distill::order_by_expert(routing.view.experts, into, options);
    };
  };
  for (const int bad : {4, -2, 2147483647, std::numeric_limits<int>::min()}) {
    b.ids[4] = bad;
    const std::string text =
        "order_by_expert: experts[2, 0] is " + std::to_string(bad) + ", must be in [0, 4) or -1";
    refused(sorted_with(order.view), text);
    CHECK_THROWS_AS(sorted_with(order.view)(), distill::data_error);
  }
  b = small();
  auto view = order.view;
  view.tokens = {order.tokens.data(), 4};
  refused(sorted_with(view), "order_by_expert: tokens has 4 entries, needs 5");
  refused(sorted_with(order.view, {.block_size = 4}), "order_by_expert: tokens has 6 entries, needs 12");
  view = order.view, view.slots = {order.slots.data(), 4};
  refused(sorted_with(view), "order_by_expert: slots has 4 entries, needs 5");
  view = order.view, view.offsets = {order.offsets.data(), 1};
  refused(sorted_with(view), "order_by_expert: offsets has 1 entries, needs experts + 1");
  view = order.view, view.rows = {order.rows.data(), 3, 1};
  refused(sorted_with(view), "order_by_expert: rows has 1 slots, experts has 2");
  view = order.view, view.rows = {order.rows.data(), 2, 2};
  refused(sorted_with(view), "order_by_expert: rows has 2 tokens, experts has 3");
  view = order.view, view.tokens = {nullptr, 6};
  refused(sorted_with(view), "order_by_expert: tokens has no memory");
  view = order.view, view.tokens = {order.slots.data(), 6};
  refused(sorted_with(view), "order_by_expert: slots overlaps tokens");
  view = order.view, view.slots = {order.slots.data(), 6, 0};
  refused(sorted_with(view), "order_by_expert: slots has a stride of 0, so its elements are not distinct");
  refused(sorted_with(order.view, {.block_size = 0}), "order_by_expert: block_size must be > 0, got 0");
  refused(sorted_with(order.view, {.block_size = 4, .rows_per_expert = 6}),
          "order_by_expert: rows_per_expert must be a multiple of block_size 4, got 6");
  refused(sorted_with(order.view, {.rows_per_expert = 1}),
          "order_by_expert: expert 0 has 2 assignments, rows_per_expert is 1");
  CHECK_THROWS_WITH(distill::most_expert_rows(1, 1, 1, {.block_size = 0}),
                    "most_expert_rows: block_size must be > 0, got 0");
  refused(
      [&] {
        distill::order_by_expert({reinterpret_cast<std::int32_t*>(order.rows.data()), 3, 2}, order.view);
      },
      "order_by_expert: rows overlaps experts");
}

TEST_CASE("what experts_from_order and the weights refuse") {
  const batch b = small();
  stored_order order(b, 6);
  sort(b, order);
  std::vector<std::int32_t> ids(6, 9);
  std::vector<float> weights(6, 9), in_order(6, 9);
  const matrix_view<std::int32_t> experts(ids.data(), 3, 2);
  const auto refused = [&](auto f, const std::string& text) {
    CHECK_THROWS_WITH(f(), text);
    CHECK(ids == std::vector<std::int32_t>(6, 9));
    CHECK(weights == std::vector<float>(6, 9));
    CHECK(in_order == std::vector<float>(6, 9));
  };
  const auto from_order = [&] { distill::experts_from_order(order.view, experts); };
  const auto changed = [&](auto& entry, auto value, const std::string& text, auto f) {
    const auto kept = std::exchange(entry, value);
    refused(f, text);
    entry = kept;
  };
  changed(order.tokens[1], 3, "experts_from_order: tokens[1] is 3, must be in [0, 3) or -1 in both",
          from_order);
  changed(order.slots[1], -1, "experts_from_order: slots[1] is -1, must be in [0, 2) or -1 in both",
          from_order);
  changed(order.offsets[1], -4, "experts_from_order: offsets[0] is 0, must be in [0, offsets[1] = -4]",
          from_order);
  changed(order.offsets[4], 7, "experts_from_order: tokens has 6 entries, needs 7", from_order);
  changed(order.offsets[4], -1, "experts_from_order: offsets[4] is -1, must not be negative", from_order);
  const auto in = [&] { distill::weights_in_order({weights.data(), 3, 2}, order.view, in_order); };
  changed(order.rows[3], 5, "weights_in_order: rows[1, 1] is 5, must be in [0, 5) or -1", in);
  const auto out = [&] {
    distill::weights_from_order(distill::vector_view<const float>(in_order.data(), 4), order.view,
                                {weights.data(), 3, 2});
  };
  refused(out, "weights_from_order: in_order has 4 entries, needs 5");
}

TEST_CASE("what the exchanges refuse") {
  const batch b = small();
  exchange<float> e(b, 8, 1);
  const matrix_view<float> tokens = e.tokens.view(), rows = e.rows.view(), out = e.token_output.view(),
                           row_out = e.row_output.view(), weights = e.routing.view.weights;
  const auto refused = [&](auto f, const std::string& text) {
    CHECK_THROWS_WITH(f(), text);
    CHECK(elements(e.row_output) == std::vector<double>(e.row_count() * 8, 77));
    CHECK(elements(e.token_output) == std::vector<double>(24, 77));
    CHECK(e.slopes == std::vector<float>(6, 99));
  };
  refused(
      [&] {
        distill::dispatch_tokens(matrix_view<float>(tokens.data_handle(), 2, 8), e.order.view, row_out);
      },
      "dispatch_tokens: tokens has 2 tokens, order.rows has 3");
  refused(
      [&] {
        distill::dispatch_tokens(tokens, e.order.view, matrix_view<float>(row_out.data_handle(), 4, 8));
      },
      "dispatch_tokens: expert_rows has 4 rows, the order has 5");
  refused(
      [&] {
        distill::dispatch_tokens(tokens, e.order.view, matrix_view<float>(row_out.data_handle(), 5, 7));
      },
      "dispatch_tokens: expert_rows has 7 columns, tokens has 8");
  refused([&] { distill::dispatch_tokens(out, e.order.view, matrix_view<float>(out.data_handle(), 5, 8)); },
          "dispatch_tokens: expert_rows overlaps tokens");
  refused([&] { distill::dispatch_tokens(tokens, e.order.view, row_out, {.accumulate = true}); },
          "dispatch_tokens: accumulate must be false, each row is one token's");
  refused(
      [&] {
        distill::combine_tokens(matrix_view<float>(rows.data_handle(), 4, 8), weights, e.order.view, out);
      },
      "combine_tokens: expert_rows has 4 rows, the order has 5");
  refused(
      [&] {
        distill::combine_tokens(rows, matrix_view<float>(weights.data_handle(), 3, 1), e.order.view, out);
      },
      "combine_tokens: weights has 1 slots, order.rows has 2");
  refused([&] { distill::combine_tokens(rows, weights, e.order.view, matrix_view<float>(nullptr, 3, 8)); },
          "combine_tokens: tokens has no memory");
  refused(
      [&] {
        distill::combine_tokens(row_out, weights, e.order.view, matrix_view<float>(&row_out(1, 0), 3, 8));
      },
      "combine_tokens: tokens overlaps expert_rows");
  refused(
      [&] {
        distill::combine_tokens(row_out, weights, e.order.view, matrix_view<float>(&row_out(0, 0), 3, 8));
      },
      "combine_tokens: tokens overlaps expert_rows");
  std::vector<double> wide(40, 1);
  refused(
      [&] { distill::combine_tokens(matrix_view<double>(wide.data(), 5, 8), weights, e.order.view, out); },
      "combine_tokens: tokens is float32, expert_rows is float64; it must be the same");
  std::vector<distill::bfloat16> half(6);
  refused(
      [&] {
        distill::combine_tokens(rows, matrix_view<distill::bfloat16>(half.data(), 3, 2), e.order.view, out);
      },
      "combine_tokens: weights is bfloat16, must be float32 or float64");
  refused(
      [&] {
        distill::dispatch_tokens_backward(rows, e.order.view, matrix_view<float>(out.data_handle(), 3, 7));
      },
      "dispatch_tokens_backward: token_gradient has 7 columns, row_gradient has 8");
  const auto backward = [&](const matrix_view<float>& row_gradient, const matrix_view<float>& slopes,
                            const distill::exchange_options& options = {}) {
    return [=, &e] {
      distill::combine_tokens_backward(tokens, rows, weights, e.order.view, row_gradient, slopes, options);
    };
  };
  refused(backward(row_out, e.slope_view(), {.accumulate = true}),
          "combine_tokens_backward: accumulate must be false, each row has one gradient");
  refused(backward(row_out, {row_out.data_handle(), 3, 2}),
          "combine_tokens_backward: weight_gradient overlaps row_gradient");
  refused(backward(row_out, {e.slopes.data(), 2, 2}),
          "combine_tokens_backward: weight_gradient has 2 tokens, order.rows has 3");
  refused(backward(tokens, e.slope_view()),
          "combine_tokens_backward: row_gradient has 3 rows, the order has 5");
  e.order.rows[1] = 5;
  refused([&] { distill::combine_tokens(rows, weights, e.order.view, out); },
          "combine_tokens: rows[0, 1] is 5, must be in [0, 5) or -1");
  CHECK_THROWS_AS(distill::dispatch_tokens(tokens, e.order.view, row_out), distill::data_error);
  e.order.rows[1] = -2;
  refused(backward(row_out, e.slope_view()),
          "combine_tokens_backward: rows[0, 1] is -2, must be in [0, 5) or -1");
}

TEST_CASE("what a capacity refuses") {
  const batch b = small();
  stored_routing<float> routed(b), kept(b);
  std::fill(kept.ids.begin(), kept.ids.end(), 99);
  std::fill(kept.weights.begin(), kept.weights.end(), 99.f);
  using distill::capacity;
  const auto refused = [&](const capacity& limit, const std::string& text, std::size_t experts = 4,
                           const distill::capacity_options& options = {}) {
    CHECK_THROWS_WITH(limit(routed.view, kept.view, experts, options), text);
    CHECK(kept.ids == std::vector<std::int32_t>(6, 99));
    CHECK(kept.weights == std::vector<float>(6, 99));
  };
  refused({.tokens_per_expert = -1}, "capacity: tokens_per_expert must be >= 0, got -1");
  refused({.factor = 0}, "capacity: factor must be finite and > 0, got 0");
  refused({.factor = std::numeric_limits<double>::infinity()},
          "capacity: factor must be finite and > 0, got inf");
  refused({.minimum = -3}, "capacity: minimum must be >= 0, got -3");
  refused({.weight_sum = std::nan("")}, "capacity: weight_sum must be finite and > 0, got nan");
  refused({}, "capacity: experts must be in [1, 2147483647], got 0", 0);
  refused({}, "capacity: routed.experts[0, 1] is 3, must be in [0, 3) or -1", 3);
  std::vector<std::uint8_t> dropped(6, 9);
  refused({}, "capacity: dropped has 1 slots, routed.experts has 2", 4, {.dropped = {dropped.data(), 3, 1}});
  refused({}, "capacity: locations overlaps routed.experts", 4, {.locations = routed.view.experts});
  CHECK(dropped == std::vector<std::uint8_t>(6, 9));
  const distill::routing<float> shifted{kept.view.experts, {routed.weights.data() + 1, 2, 2}};
  CHECK_THROWS_WITH((capacity{}(routed.view, shifted, 4)),
                    "capacity: kept.weights has 2 tokens, routed.experts has 3");
  std::vector<float> gradient(6, 9);
  CHECK_THROWS_WITH((capacity{.weight_sum = 1.0}.backward(
                        routed.view, routed.view, {kept.weights.data(), 3, 2}, {gradient.data(), 3, 2})),
                    "capacity: kept.weights overlaps routed.weights");
  CHECK(gradient == std::vector<float>(6, 9));
}
