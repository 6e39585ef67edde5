// Hash routing: the table's experts, weights and their gradient.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"
#include "support/block_executor.hpp"
#include "support/guarded_matrix.hpp"

using namespace router_cases;
using distill::hash_gate;
using support::guarded_matrix;
using support::layout;

namespace {

const std::vector<std::int32_t> table = {0, 1, 4, 2, 3, 0, 1, 3};  // 4 token ids, k = 2, 5 experts
const hash_gate gate{.table = {table.data(), 4, 2}, .experts = 5};
const std::vector<std::int64_t> ids = {3, 0, 1, 1, 2};
const std::vector<std::int32_t> expected_experts = {1, 3, 0, 1, 4, 2, 4, 2, 3, 0};

template <class Weight>
struct owned_routing {
  std::vector<std::int32_t> experts = std::vector<std::int32_t>(10, 77);
  std::vector<Weight> weights = std::vector<Weight>(10, 77);
  distill::routing<Weight> view{{experts.data(), 5, 2}, {weights.data(), 5, 2}};

  owned_routing() = default;
  owned_routing(const owned_routing&) = delete;
};

}  // namespace

TEST_CASE("experts from the table, weights 1 / k") {
  owned_routing<float> a;
  owned_routing<double> b;
  gate(ids, a.view);
  gate(ids, b.view);
  CHECK(a.experts == expected_experts);
  CHECK(b.experts == expected_experts);
  CHECK(a.weights == std::vector<float>(10, 0.5f));
  CHECK(b.weights == std::vector<double>(10, 0.5));
  const std::vector<std::uint8_t> bytes = {3, 0, 1, 1, 2};
  owned_routing<float> c;
  gate(bytes, c.view);
  CHECK(c.experts == expected_experts);
}

TEST_CASE("weights from logits, masked tokens, rows without a softmax") {
  auto values = normal_values(25, 80);
  values[0 * 5 + 3] = std::nan("");
  values[0 * 5 + 0] = 3;
  values[1 * 5 + 4] = infinity;  // not one of the token's experts
  const std::vector<float> mask = {1, 1, 1, 0, 1};
  const std::vector<std::int64_t> with_padding = {3, 0, 1, -7, 2};
  for (const layout how : {layout::compact, layout::column_major}) {
    const guarded_matrix<float> z(5, values, how);
    owned_routing<float> a;
    gate(with_padding, z.view(), a.view, {.token_mask = mask});
    std::vector<std::int32_t> experts = expected_experts;
    experts[6] = experts[7] = -1;
    CHECK(a.experts == experts);
    CHECK(a.weights[0] == 0.5f);
    CHECK(a.weights[1] == 0.5f);
    CHECK(a.weights[6] == 0);
    CHECK(a.weights[7] == 0);
    for (const std::size_t t : {1, 2, 4}) {
      const real first = values[t * 5 + static_cast<std::size_t>(experts[2 * t])];
      const real second = values[t * 5 + static_cast<std::size_t>(experts[2 * t + 1])];
      CHECK(std::abs(a.weights[2 * t] - static_cast<float>(1 / (1 + std::exp(second - first)))) <= 2e-7);
      CHECK(std::abs(a.weights[2 * t + 1] - static_cast<float>(1 / (1 + std::exp(first - second)))) <= 2e-7);
    }
  }
}

TEST_CASE("the gradient is the derivative of the weights") {
  const auto logits = normal_values(25, 81), upstream = normal_values(10, 82);
  owned_routing<double> out;
  const distill::matrix_view<const double> z(logits.data(), 5, 5), g(upstream.data(), 5, 2);
  gate(ids, z, out.view);
  std::vector<double> gradient(25, 7);
  gate.backward(z, out.view.experts, g, distill::matrix_view(gradient.data(), 5, 5));
  const auto expected = differences(logits, [&](const auto& at) {
    owned_routing<double> moved;
    gate(ids, distill::matrix_view<const double>(at.data(), 5, 5), moved.view);
    return std::inner_product(upstream.begin(), upstream.end(), moved.weights.begin(), 0.0);
  });
  CHECK(distance(gradient, expected) <= 1e-8);
  std::vector<double> twice = gradient;
  gate.backward(z, out.view.experts, g, distill::matrix_view(twice.data(), 5, 5), {.accumulate = true});
  for (double& x : gradient) x *= 2;
  CHECK(twice == gradient);
}

TEST_CASE("no gradient for padding and for logits without a softmax; any executor") {
  auto values = normal_values(25, 83);
  values[0 * 5 + 3] = std::nan("");
  const std::vector<float> mask = {1, 1, 1, 0, 1};
  const auto upstream = converted<float>(normal_values(10, 84));
  const distill::matrix_view<const float> g(upstream.data(), 5, 2);
  const guarded_matrix<float> z(5, values);
  owned_routing<float> out, again;
  guarded_matrix<float> gradient(5, 5, layout::padded_rows), other(5, 5, layout::padded_rows);
  gate(ids, z.view(), out.view, {.token_mask = mask});
  gate.backward(z.view(), out.view.experts, g, gradient.view(), {.token_mask = mask});
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(gradient.at(0, i) == 0);
    CHECK(gradient.at(3, i) == 0);
  }
  CHECK(gradient.at(1, 0) != 0);
  CHECK(gradient.is_intact());
  support::block_executor executor(3, 1);
  gate(ids, z.view(), again.view, {.token_mask = mask, .executor = executor});
  gate.backward(z.view(), again.view.experts, g, other.view(), {.token_mask = mask, .executor = executor});
  CHECK(executor.calls() == 2);
  CHECK(again.weights == out.weights);
  CHECK(other.bits() == gradient.bits());
}
