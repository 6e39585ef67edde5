// Expert choice against a sort of every column, and its gradient against differences.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/larger_error.hpp"

using namespace router_cases;
using distill::expert_choice_gate;
using support::guarded_matrix;
using support::layout;

namespace {

template <class Weight>
struct owned_choice {
  std::vector<std::int32_t> tokens;
  std::vector<Weight> weights;
  distill::expert_choice<Weight> view;

  owned_choice(std::size_t experts, std::size_t each)
      : tokens(experts * each, 77), weights(experts * each, 77) {
    view = {{tokens.data(), experts, each}, {weights.data(), experts, each}};
  }
  owned_choice(const owned_choice&) = delete;
};

// Ids by sorting (probability, -token) of each column; probabilities as the library's softmax rounds them, so
// that only the selection is compared.
template <class Weight>
std::vector<std::int32_t> ids_by_sorting(const guarded_matrix<Weight>& p, std::size_t each) {
  std::vector<std::int32_t> result;
  for (std::size_t e = 0; e < p.classes(); ++e) {
    std::vector<std::int32_t> order(p.rows());
    std::iota(order.begin(), order.end(), 0);
    const auto value = [&](std::int32_t t) {
      const double x = p.at(static_cast<std::size_t>(t), e);
      return std::isnan(x) ? -1 : x;
    };
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return value(a) > value(b); });
    std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(each));
    result.insert(result.end(), order.begin(), order.begin() + static_cast<std::ptrdiff_t>(each));
  }
  return result;
}

template <class Logit, class Weight>
void check_against_sorting(std::size_t tokens, std::size_t experts, std::size_t each,
                           const std::vector<double>& values, layout how) {
  CAPTURE(tokens, experts, each, support::name_of(how));
  const guarded_matrix<Logit> logits(tokens, values, how);
  guarded_matrix<Weight> p(tokens, experts, layout::column_major);
  distill::softmax(logits.view(), p.view());
  owned_choice<Weight> out(experts, each);
  const expert_choice_gate gate{.capacity = static_cast<std::int64_t>(each)};
  CHECK(gate(logits.view(), out.view) == 0);
  CHECK(out.tokens == ids_by_sorting(p, each));
  double worst = 0;
  for (std::size_t i = 0; i < out.tokens.size(); ++i)
    worst = support::larger_error(worst, std::abs(static_cast<double>(out.weights[i]) -
                                                  p.at(static_cast<std::size_t>(out.tokens[i]), i / each)));
  CHECK(worst <= 1e-6);
}

}  // namespace

TEST_CASE("every expert takes its largest probabilities, on every target") {
  support::on_every_target([](const std::string& target) {
    CAPTURE(target);
    for (const auto& [tokens, experts] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {5, 1}, {1, 9}, {16, 4}, {333, 33}, {2050, 64}})
      for (const std::size_t each : {std::size_t{1}, tokens / experts + 1, tokens}) {
        if (each > tokens) continue;
        const auto values = normal_values(tokens * experts, tokens + experts, 2);
        check_against_sorting<float, float>(tokens, experts, each, values, layout::column_major);
        check_against_sorting<double, double>(tokens, experts, each, values, layout::column_major);
      }
  });
}

TEST_CASE("ties: the lower token, also where all are equal or few values repeat") {
  for (const std::size_t each : {1, 10, 63, 64, 100}) {
    check_against_sorting<float, float>(100, 8, each, std::vector<double>(800, 0), layout::column_major);
    std::vector<double> few = normal_values(800, 70);
    for (std::size_t row = 0; row < 100; ++row)
      for (std::size_t i = 0; i < 8; ++i) few[row * 8 + i] = std::round(few[(row % 5) * 8 + i]);
    check_against_sorting<distill::bfloat16, float>(100, 8, each, few, layout::column_major);
    check_against_sorting<double, double>(100, 8, each, few, layout::column_major);
  }
  owned_choice<float> out(2, 3);
  const std::vector<float> zeros(20);
  expert_choice_gate{.capacity = 3}(distill::matrix_view(zeros.data(), 10, 2), out.view);
  CHECK(out.tokens == std::vector<std::int32_t>{0, 1, 2, 0, 1, 2});
  CHECK(out.weights == std::vector<float>(6, 0.5f));
}

TEST_CASE("layouts and element types give what the compact float does") {
  const auto values = as_doubles(converted<distill::bfloat16>(normal_values(600, 71)));
  owned_choice<float> expected(6, 17);
  const expert_choice_gate gate{.capacity = 17};
  const guarded_matrix<float> compact(100, values);
  gate(compact.view(), expected.view);
  for (const layout how :
       {layout::padded_rows, layout::column_major, layout::every_third, layout::reversed_rows}) {
    owned_choice<float> a(6, 17), b(6, 17);
    gate(guarded_matrix<float>(100, values, how).view(), a.view);
    gate(guarded_matrix<distill::bfloat16>(100, values, how).view(), b.view);
    CHECK(a.tokens == expected.tokens);
    CHECK(b.tokens == expected.tokens);
    CHECK(distance(a.weights, expected.weights) <= 1e-6);
    CHECK(distance(b.weights, expected.weights) <= 1e-6);
  }
}

TEST_CASE("capacity: a factor rounded up, at least one, at most all; or given") {
  CHECK(expert_choice_gate{.capacity_factor = 1}.tokens_per_expert(100, 8) == 13);
  CHECK(expert_choice_gate{.capacity_factor = 2}.tokens_per_expert(100, 8) == 25);
  CHECK(expert_choice_gate{.capacity_factor = 2}.tokens_per_expert(4, 64) == 1);
  CHECK(expert_choice_gate{.capacity_factor = 100}.tokens_per_expert(20, 8) == 20);
  CHECK(expert_choice_gate{.capacity_factor = 2, .capacity = 7}.tokens_per_expert(100, 8) == 7);
  CHECK(expert_choice_gate{}.tokens_per_expert(0, 8) == 0);
}

TEST_CASE("tokens without a softmax are taken last, masked ones never") {
  std::vector<double> values = normal_values(8 * 3, 72);
  values[1 * 3] = std::nan("");
  values[2 * 3 + 1] = infinity;
  for (std::size_t i = 0; i < 3; ++i) values[4 * 3 + i] = -infinity;
  values[5 * 3 + 2] = -infinity;  // probability 0, but a softmax
  values[7 * 3] = std::nan("");
  const std::vector<float> mask = {1, 1, 1, 1, 1, 1, 1, 0};
  const guarded_matrix<float> logits(8, values);
  owned_choice<float> out(3, 8);
  const expert_choice_gate gate{.capacity = 8};
  CHECK(gate(logits.view(), out.view, {.token_mask = mask}) == 3);
  for (std::size_t e = 0; e < 3; ++e)
    CHECK(std::vector<std::int32_t>(out.tokens.begin() + static_cast<std::ptrdiff_t>(8 * e),
                                    out.tokens.begin() + static_cast<std::ptrdiff_t>(8 * e + 8)) ==
          std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, -1});
  for (const std::size_t slot : {1, 2, 4, 7}) CHECK(out.weights[slot] == 0);
  CHECK(out.weights[16 + 5] == 0);
  CHECK(!std::signbit(out.weights[1]));
  CHECK(out.weights[0] > 0);
  // Four good tokens and a capacity of five: one bad one, the lowest, fills it.
  owned_choice<float> five(3, 5);
  CHECK(expert_choice_gate{.capacity = 5}(logits.view(), five.view, {.token_mask = mask}) == 3);
  CHECK(std::vector<std::int32_t>(five.tokens.begin() + 10, five.tokens.end()) ==
        std::vector<std::int32_t>{0, 1, 3, 5, 6});
}

TEST_CASE("whoever runs it, the bits are the same; a workspace is used") {
  const auto values = normal_values(1000 * 40, 73);
  const guarded_matrix<float> logits(1000, values);
  guarded_matrix<float> gradient(1000, 40), other(1000, 40);
  const expert_choice_gate gate{.capacity_factor = 2};
  owned_choice<float> expected(40, 50);
  distill::workspace memory;
  gate(logits.view(), expected.view, {}, &memory);
  CHECK(memory.size() > 0);
  const auto upstream = converted<float>(normal_values(40 * 50, 74));
  const distill::matrix_view<const float> g(upstream.data(), 40, 50);
  gate.backward(logits.view(), expected.view, g, gradient.view());
  for (const std::size_t workers : {1, 2, 5}) {
    support::block_executor executor(workers, 3);
    owned_choice<float> out(40, 50);
    gate(logits.view(), out.view, {.executor = executor});
    CHECK(executor.calls() >= 2);
    CHECK(out.tokens == expected.tokens);
    CHECK(out.weights == expected.weights);
    gate.backward(logits.view(), out.view, g, other.view(), {.executor = executor});
    CHECK(other.bits() == gradient.bits());
  }
}

TEST_CASE("the gradient is the derivative of the weights with the choice held") {
  for (const auto& [tokens, experts, each] :
       {std::tuple<std::size_t, std::size_t, std::size_t>{9, 4, 3}, {6, 35, 2}, {5, 3, 5}}) {
    const auto logits = normal_values(tokens * experts, 75);
    const auto upstream = normal_values(experts * each, 76);
    owned_choice<double> out(experts, each);
    const expert_choice_gate gate{.capacity = static_cast<std::int64_t>(each)};
    const distill::matrix_view<const double> z(logits.data(), tokens, experts),
        g(upstream.data(), experts, each);
    gate(z, out.view);
    std::vector<double> gradient(logits.size(), 7);
    gate.backward(z, out.view, g, distill::matrix_view(gradient.data(), tokens, experts));
    const auto expected = differences(logits, [&, experts = experts, each = each](const auto& at) {
      const auto p = softmax_of(at, experts);
      real sum = 0;
      for (std::size_t i = 0; i < upstream.size(); ++i)
        sum +=
            static_cast<real>(upstream[i]) * p[static_cast<std::size_t>(out.tokens[i]) * experts + i / each];
      return static_cast<double>(sum);
    });
    CHECK(distance(gradient, expected) <= 1e-8);
    std::vector<double> twice = gradient;
    gate.backward(z, out.view, g, distill::matrix_view(twice.data(), tokens, experts), {.accumulate = true});
    for (double& x : gradient) x *= 2;
    CHECK(twice == gradient);
  }
}

TEST_CASE("the gradient in float and 16 bits; bad and masked tokens do not move") {
  auto values = as_doubles(converted<distill::bfloat16>(normal_values(50 * 6, 77)));
  const auto upstream = normal_values(6 * 9, 78);
  const auto upstream_float = converted<float>(upstream);
  const expert_choice_gate gate{.capacity = 9};
  owned_choice<double> out(6, 9);
  std::vector<float> mask(50, 1);
  mask[11] = 0;
  values[20 * 6 + 2] = std::nan("");
  const distill::token_options tokens{.token_mask = mask};
  const guarded_matrix<double> z(50, values);
  guarded_matrix<double> expected(50, 6);
  gate(z.view(), out.view, tokens);
  gate.backward(z.view(), out.view, distill::matrix_view<const double>(upstream.data(), 6, 9),
                expected.view(), tokens);
  owned_choice<float> narrow(6, 9);
  narrow.tokens = out.tokens;
  narrow.view.tokens = {narrow.tokens.data(), 6, 9};
  const guarded_matrix<distill::bfloat16> halves(50, values, layout::column_major);
  guarded_matrix<float> wide(50, 6, layout::padded_rows);
  guarded_matrix<distill::bfloat16> same(50, 6, layout::every_third);
  const distill::matrix_view<const float> g(upstream_float.data(), 6, 9);
  gate.backward(halves.view(), narrow.view, g, wide.view(), tokens);
  gate.backward(halves.view(), narrow.view, g, same.view(), tokens);
  CHECK(wide.is_intact());
  CHECK(same.is_intact());
  for (std::size_t i = 0; i < 300; ++i) {
    const double right = expected.at(i / 6, i % 6);
    CHECK(std::abs(wide.at(i / 6, i % 6) - right) <= 1e-6);
    CHECK(std::abs(same.at(i / 6, i % 6) - right) <= 1e-6 + 0.004 * std::abs(right));
    if (i / 6 == 11 || i / 6 == 20) CHECK(right == 0);
  }
}

TEST_CASE("an empty batch") {
  const std::vector<float> nothing;
  owned_choice<float> out(4, 0);
  std::vector<float> gradient;
  CHECK(expert_choice_gate{}(distill::matrix_view(nothing.data(), 0, 4), out.view) == 0);
  expert_choice_gate{}.backward(distill::matrix_view(nothing.data(), 0, 4), out.view,
                                distill::matrix_view(nothing.data(), 4, 0),
                                distill::matrix_view(gradient.data(), 0, 4));
}
