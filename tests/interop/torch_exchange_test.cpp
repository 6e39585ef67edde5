// Dispatch and combine in libtorch's graph.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/moe/routing.hpp>

using namespace distill;
using namespace torch_agreement;
using Catch::Matchers::Contains;

namespace {

constexpr std::int64_t tokens = 23, slots = 3, experts = 6, width = 10;

/// Distinct experts for each token; some are none.
at::Tensor random_experts() {
  const at::Tensor drawn = at::rand({tokens, experts}).argsort(std::int64_t{1}).narrow(1, 0, slots);
  return at::where(at::rand({tokens, slots}).lt(0.2), -1, drawn).to(at::kInt);
}

/// Every expert multiplies its rows by its own diagonal; rows of no assignment come out as NaN.
at::Tensor run_experts(const at::Tensor& rows, const torch_expert_order& order, const at::Tensor& scales) {
  const auto parts = rows.split_with_sizes(order.sizes());
  std::vector<at::Tensor> answers;
  for (std::int64_t e = 0; e < experts; ++e) answers.push_back(parts[e] * scales[e]);
  return at::cat(answers);
}

/// The same without an order: every expert sees every token.
at::Tensor plain_layer(const at::Tensor& x, const at::Tensor& weights, const at::Tensor& scales,
                       const at::Tensor& chosen) {
  const at::Tensor each =
      x.unsqueeze(1) * scales.index_select(0, chosen.clamp_min(0).flatten()).view({tokens, slots, width});
  const at::Tensor factors = at::where(chosen.lt(0), at::zeros({}, weights.options()), weights);
  return (each * factors.unsqueeze(2)).sum(1);
}

at::Tensor leaf(const at::Tensor& x) { return x.detach().to(at::kDouble).contiguous().requires_grad_(true); }

void check_layer(at::ScalarType type, at::ScalarType weight_type, layout how,
                 const expert_order_options& options) {
  const auto random = [&](const shape& extents, at::ScalarType of) {
    return laid_out(at::randn(extents, at::kDouble).to(of), how).requires_grad_(true);
  };
  const at::Tensor x = random({tokens, width}, type), weights = random({tokens, slots}, weight_type),
                   scales = random({experts, width}, type);
  const at::Tensor rx = leaf(x), rw = leaf(weights), rs = leaf(scales), chosen = random_experts();

  const torch_expert_order order =
      torch_order_by_expert(laid_out(chosen.to(at::kDouble), how).to(at::kInt), experts, options);
  const at::Tensor rows = torch_dispatch_tokens(x, order);
  CHECK(rows.scalar_type() == type);
  CHECK(rows.index_select(0, order.tokens.eq(-1).nonzero().flatten()).abs().sum().item<double>() == 0);
  const at::Tensor y = torch_combine_tokens(run_experts(rows, order, scales), weights, order);
  CHECK(y.scalar_type() == type);
  const at::Tensor expected = plain_layer(rx, rw, rs, chosen.to(at::kLong));
  CAPTURE(c10::toString(type), c10::toString(weight_type), static_cast<int>(how));
  // The experts' answers are rounded to the type: where they cancel, their rounding errors stay.
  const at::Tensor summands = plain_layer(rx.abs(), rw.abs(), rs.abs(), chosen.to(at::kLong));
  CHECK((y - expected).abs().max().item<double>() < tolerance(type) * summands.max().item<double>());

  const at::Tensor upstream = laid_out(at::randn({tokens, width}, at::kDouble).to(type), how);
  y.backward(upstream);
  expected.backward(upstream.to(at::kDouble));
  CHECK(x.grad().scalar_type() == type);
  CHECK(weights.grad().scalar_type() == weight_type);
  CHECK(difference(x.grad(), rx.grad()) < 2 * tolerance(type));
  CHECK(difference(weights.grad(), rw.grad()) < 2 * std::max(tolerance(type), tolerance(weight_type)));
  CHECK(difference(scales.grad(), rs.grad()) < 4 * tolerance(type));
}

}  // namespace

TEST_CASE("libtorch agrees on a layer of dispatched and combined tokens") {
  for (const layout how : every_layout)
    for (const at::ScalarType type : every_type) {
      check_layer(type, type == at::kDouble ? at::kDouble : at::kFloat, how, {});
      check_layer(type, at::kFloat, how, {.block_size = 8});
      check_layer(type, at::kFloat, how, {.rows_per_expert = tokens});
    }
}

TEST_CASE("numbers differentiate a layer of dispatched and combined tokens") {
  const auto options = at::TensorOptions(at::kDouble);
  const torch_expert_order order = torch_order_by_expert(random_experts(), experts, {.block_size = 4});
  const at::Tensor scales = at::randn({experts, width}, options),
                   upstream = at::randn({tokens, width}, options);
  std::vector<at::Tensor> inputs{at::randn({tokens, width}, options).requires_grad_(true),
                                 at::randn({tokens, slots}, options).requires_grad_(true)};
  const auto loss = [&] {
    const at::Tensor rows = torch_dispatch_tokens(inputs[0], order);
    return (torch_combine_tokens(run_experts(rows, order, scales).sin(), inputs[1], order) * upstream).sum();
  };
  loss().backward();
  for (const at::Tensor& input : inputs)
    for (std::int64_t i = 0; i < input.numel(); i += 7)
      CHECK(input.grad().data_ptr<double>()[i] ==
            Approx(central_difference(input, i, 1e-5, loss)).margin(1e-8).epsilon(1e-6));
}

TEST_CASE("an exchange in the graph: what it computes, keeps and refuses") {
  const torch_expert_order order = torch_order_by_expert(random_experts(), experts);
  const at::Tensor x = at::randn({tokens, width}), weights = at::rand({tokens, slots});
  CHECK_FALSE(torch_dispatch_tokens(x, order).requires_grad());
  const at::Tensor rows = torch_dispatch_tokens(x, order);
  CHECK_FALSE(torch_combine_tokens(rows, weights, order).requires_grad());
  {
    const at::NoGradGuard none;
    CHECK_FALSE(torch_dispatch_tokens(x.clone().requires_grad_(true), order).requires_grad());
  }
  const at::Tensor learned_rows = rows.clone().requires_grad_(true),
                   learned = weights.clone().requires_grad_(true);
  torch_combine_tokens(learned_rows, weights, order).sum().backward();
  CHECK(learned_rows.grad().defined());
  torch_combine_tokens(rows, learned, order).sum().backward();
  CHECK(learned.grad().defined());
  CHECK(difference(
            learned.grad(),
            at::where(order.rows.lt(0), at::zeros({}),
                      rows.sum(1).index_select(0, order.rows.clamp_min(0).flatten()).view({tokens, slots}))) <
        1e-5);

  const at::Tensor inner = learned_rows * 1, y = torch_combine_tokens(inner, weights, order);
  inner.mul_(2);
  CHECK_THROWS_WITH(y.sum().backward(), Contains("modified by an inplace operation"));
  const at::Tensor other = torch_combine_tokens(learned_rows, weights, order);
  CHECK_THROWS_WITH(other.sum().backward({}, true, true),
                    Contains("torch_combine_tokens: has no gradient of its gradient"));
  const at::Tensor leaves = x.clone().requires_grad_(true), dispatched = torch_dispatch_tokens(leaves, order);
  CHECK_THROWS_WITH(dispatched.sum().backward({}, true, true),
                    Contains("torch_dispatch_tokens: has no gradient of its gradient"));
  {  // tokens are not kept
    const at::NoGradGuard none;
    leaves.mul_(2);
  }
  dispatched.sum().backward();
  CHECK(at::equal(leaves.grad(), order.rows.ge(0).sum(1, true).to(at::kFloat).expand({tokens, width})));

  CHECK_THROWS_WITH(torch_order_by_expert(order.rows, experts),
                    "torch_order_by_expert: experts is of Long, needs Int");
  CHECK_THROWS_WITH(torch_dispatch_tokens(x.to(at::kInt), order),
                    Contains("torch_dispatch_tokens: tokens is of Int"));
  CHECK_THROWS_WITH(torch_dispatch_tokens(x[0], order),
                    Contains("torch_dispatch_tokens: tokens has 1 dimensions"));
  CHECK_THROWS_WITH(torch_dispatch_tokens(x, {order.offsets, order.tokens, order.rows.to(at::kInt)}),
                    "torch_dispatch_tokens: order.rows is of Int, needs Long");
  CHECK_THROWS_WITH(torch_dispatch_tokens(x.narrow(0, 1, 4), order),
                    Contains("dispatch_tokens: tokens has 4 tokens"));
  CHECK_THROWS_WITH(torch_combine_tokens(rows, weights.to(at::kHalf), order),
                    Contains("combine_tokens: weights is float16"));
  CHECK_THROWS_WITH(torch_combine_tokens(rows, {}, order),
                    "torch_combine_tokens: weights is an undefined tensor");
  CHECK_THROWS_AS(torch_combine_tokens(rows.narrow(0, 1, 4), weights, order), shape_error);
}

TEST_CASE("no tokens, and experts without any, go through an exchange") {
  const at::Tensor x = at::randn({0, width}).requires_grad_(true);
  const torch_expert_order order = torch_order_by_expert(at::empty({0, slots}, at::kInt), experts);
  CHECK(order.sizes() == std::vector<std::int64_t>(experts));
  torch_combine_tokens(torch_dispatch_tokens(x, order), at::empty({0, slots}), order).sum().backward();
  CHECK(x.grad().sizes() == x.sizes());
  const torch_expert_order one = torch_order_by_expert(at::full({tokens, 1}, 2, at::kInt), experts);
  CHECK(one.sizes() == std::vector<std::int64_t>{0, 0, tokens, 0, 0, 0});
}
