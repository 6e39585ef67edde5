// What the functions of balance refuse, in which words, and that nothing is written then.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"

using namespace router_cases;
using distill::data_error;
using distill::layout_error;
using distill::matrix_view;
using distill::parameter_error;
using distill::shape_error;

namespace {

struct arguments {
  std::vector<std::int64_t> counts = {2, 1, 0, 1}, tokens = {4};
  std::vector<double> sums = std::vector<double>(4, 1), slopes = std::vector<double>(8, 7);
  std::vector<float> logits = std::vector<float>(12, 1), written = std::vector<float>(24, 7);
  std::vector<std::int32_t> ids = {0, 1, 2, 3, 0, 1}, chosen = std::vector<std::int32_t>(24, 7);
  std::vector<float> bias = std::vector<float>(4, 7);
  std::vector<std::int64_t> counters = std::vector<std::int64_t>(40, 7);

  distill::router_statistics statistics() {
    return {.assignments = counts, .probability_sums = sums, .tokens = 4};
  }
  distill::sequence_statistics sequences() {
    return {.assignments = {counts.data(), 1, 4}, .probability_sums = {sums.data(), 1, 4}, .tokens = tokens};
  }
  distill::vector_view<double> s() { return {slopes.data(), 4}; }
  matrix_view<const float> z() const { return {logits.data(), 3, 4}; }
  matrix_view<float> out() { return {written.data(), 3, 4}; }
  matrix_view<const std::int32_t> e() const { return {ids.data(), 3, 2}; }
};

template <class Error, class F>
void check_refused(arguments& a, const std::string& message, F f) {
  const arguments before = a;
  CHECK_THROWS_AS(f(), Error);
  CHECK_THROWS_WITH(f(), message);
  CHECK(a.slopes == before.slopes);
  CHECK(a.written == before.written);
  CHECK(a.chosen == before.chosen);
  CHECK(a.bias == before.bias);
  CHECK(a.counters == before.counters);
  CHECK(a.counts == before.counts);
  CHECK(a.sums == before.sums);
}

}  // namespace

TEST_CASE("balance losses") {
  arguments a;
  using distill::switch_loss;
  check_refused<parameter_error>(a, "switch_loss: experts_per_token must be in [1, 4], got 0",
                                 [&] { switch_loss{}(a.statistics(), a.s()); });
  check_refused<parameter_error>(a, "switch_loss: experts_per_token must be in [1, 4], got 5",
                                 [&] { switch_loss{.experts_per_token = 5}(a.statistics(), a.s()); });
  check_refused<parameter_error>(a, "switch_loss: coefficient must be finite, got inf", [&] {
    switch_loss{.coefficient = infinity, .experts_per_token = 1}(a.statistics(), a.s());
  });
  const switch_loss one{.experts_per_token = 1};
  check_refused<parameter_error>(a, "switch_loss: denominator must be finite and > 0, got 0",
                                 [&] { one(a.statistics(), a.s(), {.denominator = 0}); });
  check_refused<shape_error>(a, "switch_loss: slopes has 3 experts, load has 4",
                             [&] { one(a.statistics(), distill::vector_view<double>(a.slopes.data(), 3)); });
  check_refused<shape_error>(a, "switch_loss: probability_sums has 4 experts, load has 3", [&] {
    one(a.statistics(), {distill::vector_view<const std::int64_t>(a.counts.data(), 3), 4}, a.s());
  });
  check_refused<layout_error>(
      a, "switch_loss: slopes has a stride of 0, so its elements are not distinct",
      [&] { one(a.statistics(), distill::vector_view<double>(a.slopes.data(), 4, 0)); });
  // Global counts with the tokens of one batch: more than can be.
  check_refused<data_error>(
      a, "switch_loss: the load has 4 assignments of 3 tokens, at most 1 each are possible", [&] {
        one(a.statistics(), {a.counts, 3}, a.s());
      });
  check_refused<parameter_error>(a, "switch_loss: tokens of the load must be >= 0, got -1", [&] {
    one(a.statistics(), {a.counts, -1}, a.s());
  });
  check_refused<data_error>(
      a, "gshard_loss: the load has 4 assignments of 2 tokens, at most 1 each are possible", [&] {
        distill::gshard_loss{}(a.statistics(), {a.counts, 2}, a.s());
      });
  check_refused<shape_error>(a, "sequence_balance_loss: slopes has 2 sequences, assignments has 1", [&] {
    distill::sequence_balance_loss{.experts_per_token = 1}(a.sequences(), {a.slopes.data(), 2, 4});
  });
  check_refused<parameter_error>(a, "sequence_balance_loss: experts_per_token must be in [1, 4], got 0", [&] {
    distill::sequence_balance_loss{}(a.sequences(), {a.slopes.data(), 1, 4});
  });
  a.counts[1] = -3;
  check_refused<data_error>(a, "switch_loss: assignments[1] is -3, must be >= 0",
                            [&] { one(a.statistics(), a.s()); });
  check_refused<data_error>(
      a, "sequence_balance_loss: assignments of sequence 0[1] is -3, must be >= 0", [&] {
        distill::sequence_balance_loss{.experts_per_token = 1}(a.sequences(), {a.slopes.data(), 1, 4});
      });
}

TEST_CASE("variation, smooth load and z-loss") {
  arguments a;
  check_refused<parameter_error>(a, "importance_loss: epsilon must be finite and >= 0, got -1",
                                 [&] { distill::importance_loss{.epsilon = -1}(a.sums, a.s()); });
  check_refused<shape_error>(a, "load_loss: loads has 0 experts",
                             [&] { distill::load_loss{}(distill::vector_view<const double>(), a.s()); });
  check_refused<shape_error>(a, "load_loss: slopes has 8 experts, loads has 4",
                             [&] { distill::load_loss{}(a.sums, a.slopes); });
  const distill::smooth_load load{.experts_per_token = 2};
  check_refused<parameter_error>(a, "smooth_load: deviation must be finite and > 0, got 0", [&] {
    load({a.z(), a.z(), 0}, a.s());
  });
  check_refused<parameter_error>(a, "smooth_load: experts_per_token must be in [1, 4], got 0", [&] {
    distill::smooth_load{}({a.z(), a.z(), 1}, a.s());
  });
  check_refused<shape_error>(a, "smooth_load: noisy has 2 tokens, clean has 3", [&] {
    load({a.z(), matrix_view<const float>(a.logits.data(), 2, 4), 1}, a.s());
  });
  check_refused<parameter_error>(a, "smooth_load: a constant deviation has no gradient", [&] {
    load.backward_with_deviation({a.z(), a.z(), 1}, a.s(), a.out(),
                                 matrix_view<float>(a.written.data() + 12, 3, 4));
  });
  const distill::router_z_loss z{};
  check_refused<shape_error>(a, "router_z_loss: gradient has 5 experts, logits has 4",
                             [&] { z.with_gradient(a.z(), matrix_view<float>(a.written.data(), 3, 5)); });
  check_refused<layout_error>(a, "router_z_loss: gradient overlaps logits", [&] {
    z.with_gradient(matrix_view<const float>(a.written.data(), 3, 4), a.out());
  });
  const std::vector<float> mask(2, 1);
  check_refused<shape_error>(a, "router_z_loss: token_mask has 2 entries, logits has 3",
                             [&] { z.with_gradient(a.z(), a.out(), {}, {.token_mask = mask}); });
}

TEST_CASE("counting and going back") {
  arguments a;
  a.ids[3] = 4;
  check_refused<data_error>(a, "count_assignments: experts[1, 1] is 4, must be in [0, 4) or -1",
                            [&] { distill::count_assignments(a.e(), a.counts); });
  check_refused<data_error>(a, "count_statistics: experts[1, 1] is 4, must be in [0, 4) or -1", [&] {
    auto s = a.statistics();
    distill::count_statistics(a.e(), a.z(), s);
  });
  a.ids[3] = -2;
  check_refused<data_error>(a, "count_assignments: experts[1, 1] is -2, must be in [0, 4) or -1",
                            [&] { distill::count_assignments(a.e(), a.counts); });
  distill::count_assignments(a.e(), a.counts, 1);  // not among the first choices
  a = {};
  check_refused<shape_error>(a, "count_assignments: first_choices is 3, experts has 2 choices",
                             [&] { distill::count_assignments(a.e(), a.counts, 3); });
  check_refused<shape_error>(
      a,
      "count_sequence_statistics: experts has 3 tokens, statistics has 2 sequences; they must divide evenly",
      [&] {
        std::vector<std::int64_t> two(2);
        const distill::sequence_statistics s{{a.counts.data(), 2, 2}, {a.sums.data(), 2, 2}, two};
        distill::count_sequence_statistics(a.e(), a.z(), s);
      });
}

TEST_CASE("adding statistics of other sizes") {
  arguments a;
  auto into = a.statistics();
  distill::router_statistics small;
  small.assignments = {a.counts.data(), 3};
  small.probability_sums = a.sums;
  check_refused<shape_error>(a, "add_statistics: assignments added has 3 experts, assignments has 4",
                             [&] { distill::add_statistics(into, small); });
  small.assignments = a.counts;
  small.probability_sums = {};
  check_refused<shape_error>(a,
                             "add_statistics: probability_sums added has 0 experts, probability_sums has 4",
                             [&] { distill::add_statistics(into, small); });
  CHECK(into.tokens == 4);
}

TEST_CASE("balance_backward") {
  arguments a;
  check_refused<shape_error>(a, "balance_backward: slopes has 8 experts, scores has 4",
                             [&] { distill::balance_backward(a.z(), a.slopes, a.out()); });
  check_refused<shape_error>(
      a, "balance_backward: scores has 3 tokens, slopes has 2 sequences; they must divide evenly",
      [&] { distill::balance_backward(a.z(), matrix_view<const double>(a.slopes.data(), 2, 4), a.out()); });
  check_refused<layout_error>(a, "balance_backward: gradient is the scores' memory and cannot be added to",
                              [&] {
                                distill::balance_backward(matrix_view<const float>(a.written.data(), 3, 4),
                                                          a.s(), a.out(), {.accumulate = true});
                              });
  std::vector<double> wide(12);
  check_refused<layout_error>(
      a, "balance_backward: gradient is float64, scores is float32; it must be the same",
      [&] { distill::balance_backward(a.z(), a.s(), matrix_view(wide.data(), 3, 4)); });
}

TEST_CASE("biases") {
  arguments a;
  check_refused<parameter_error>(a, "expert_bias_update: rate must be finite and >= 0, got -1",
                                 [&] { distill::expert_bias_update{.rate = -1}(a.counts, a.bias); });
  check_refused<shape_error>(a, "expert_bias_update: bias has 4 experts, assignments has 1",
                             [&] { distill::expert_bias_update{}(a.tokens, a.bias); });
  using distill::quantile_balancing;
  check_refused<parameter_error>(a, "quantile_balancing: experts_per_token must be in [1, 3], got 4",
                                 [&] { quantile_balancing{.experts_per_token = 4}(a.z(), a.bias); });
  const quantile_balancing rule{.experts_per_token = 2};
  check_refused<shape_error>(a, "quantile_balancing: scores has 5 experts, bias has 4",
                             [&] { rule(matrix_view<const float>(a.logits.data(), 2, 5), a.bias); });
  distill::bias_histogram histogram{.counts = {a.counters.data(), 4, 10}};
  check_refused<parameter_error>(
      a, "quantile_balancing: the histogram's range must be finite and low < high, got [0, 0]",
      [&] { rule(histogram, a.bias); });
  histogram.high = 1;
  a.counters[25] = -1;
  check_refused<data_error>(a, "quantile_balancing: counts of expert 2[5] is -1, must be >= 0",
                            [&] { rule(histogram, a.bias); });
  a.counters.assign(40, 1);
  std::fill(a.counters.begin() + 10, a.counters.begin() + 20, 0);
  check_refused<data_error>(a, "quantile_balancing: expert 1 counted no tokens, expert 0 did",
                            [&] { rule(histogram, a.bias); });
  a.bias[2] = static_cast<float>(infinity);
  check_refused<data_error>(a, "quantile_balancing: bias[2] is inf, must be finite",
                            [&] { rule.begin(a.bias, histogram); });
}

TEST_CASE("expert choice") {
  arguments a;
  const distill::expert_choice_gate gate{.capacity = 2};
  const distill::expert_choice<float> out{{a.chosen.data(), 4, 2}, {a.written.data(), 4, 2}};
  const matrix_view<const float> g(a.logits.data(), 4, 2);
  check_refused<parameter_error>(a, "expert_choice_gate: capacity must be in [0, 3], got 4",
                                 [&] { distill::expert_choice_gate{.capacity = 4}(a.z(), out); });
  check_refused<parameter_error>(a, "expert_choice_gate: capacity_factor must be finite and > 0, got 0",
                                 [&] { distill::expert_choice_gate{.capacity_factor = 0}(a.z(), out); });
  check_refused<shape_error>(a, "expert_choice_gate: tokens has 2 slots, the capacity has 1",
                             [&] { distill::expert_choice_gate{.capacity = 1}(a.z(), out); });
  std::vector<double> wide(12, 1);
  check_refused<layout_error>(a, "expert_choice_gate: weights is float32, logits is float64",
                              [&] { gate(matrix_view<const double>(wide.data(), 3, 4), out); });
  check_refused<data_error>(
      a, "expert_choice_gate: tokens(0, 0) is 7, must ascend in [0, 3), -1 at the end",
      [&] { gate.backward(a.z(), out, g, matrix_view<float>(a.written.data() + 8, 3, 4)); });
  a.chosen = {0, 1, 1, 1, 0, 1, 0, 1};
  check_refused<data_error>(
      a, "expert_choice_gate: tokens(1, 1) is 1, must ascend in [0, 3), -1 at the end",
      [&] { gate.backward(a.z(), out, g, matrix_view<float>(a.written.data() + 8, 3, 4)); });
}

TEST_CASE("hash routing") {
  arguments a;
  const std::vector<std::int32_t> table = {0, 1, 2, 2, 9, 0};
  const distill::hash_gate gate{.table = {table.data(), 3, 2}, .experts = 4};
  const distill::routing<float> out{{a.chosen.data(), 3, 2}, {a.written.data(), 3, 2}};
  const auto call = [&](std::vector<std::int32_t> ids) { return [&, ids] { gate(ids, out); }; };
  check_refused<data_error>(a, "hash_gate: token_ids[1] is 3, must be in [0, 3)", call({0, 3, 0}));
  check_refused<data_error>(a, "hash_gate: token_ids[2] is -1, must be in [0, 3)", call({0, 0, -1}));
  check_refused<data_error>(a, "hash_gate: table(1, 1) is 2, as the one at 0", call({0, 1, 0}));
  check_refused<data_error>(a, "hash_gate: table(2, 0) is 9, must be in [0, 4)", call({0, 2, 0}));
  check_refused<shape_error>(a, "hash_gate: experts has 3 tokens, table has 2", call({0, 0}));
  check_refused<parameter_error>(a, "hash_gate: experts must be at least the table's 2 choices, got 1", [&] {
    const std::vector<std::int32_t> ids(3);
    distill::hash_gate{.table = gate.table, .experts = 1}(ids, out);
  });
  check_refused<shape_error>(a, "hash_gate: table has 0 token ids", [&] {
    const std::vector<std::int32_t> ids(3);
    distill::hash_gate{.experts = 4}(ids, out);
  });
}

TEST_CASE("mapped experts") {
  arguments a;
  std::vector<std::int32_t> map = {0, 1, 2, 3};
  check_refused<data_error>(a, "map_expert_logits: map[3] is 3, must be in [0, 3) or -1", [&] {
    distill::map_expert_logits(a.z(), map, matrix_view<float>(a.written.data(), 3, 3));
  });
  map.pop_back();
  check_refused<shape_error>(a, "map_expert_logits: map has 3 experts, teacher has 4",
                             [&] { distill::map_expert_logits(a.z(), map, a.out()); });
  check_refused<parameter_error>(a, "map_expert_logits: temperature must be finite and > 0, got 0", [&] {
    distill::map_expert_logits(a.z(), map, a.out(), {.temperature = 0});
  });
}
