// An adapter and a gate in libtorch's graph.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/alignment/hidden_mse.hpp>

using namespace distill;
using namespace torch_agreement;
using Catch::Matchers::Contains;

namespace {

constexpr std::int64_t tokens = 20, experts = 16;

/// What the gate's documentation says the logits become.
at::Tensor perturbed(const top_k_gate& gate, const at::Tensor& logits, const torch_gate_options& options) {
  at::Tensor factor = at::ones({tokens, experts}, at::kDouble),
             noise = at::zeros({tokens, experts}, at::kDouble);
  const auto index = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t at = t * experts + e;
      factor.data_ptr<double>()[at] += gate.jitter * (2 * options.random.uniform(index(t), index(e)) - 1);
      noise.data_ptr<double>()[at] = gate.noise * options.random.normal(index(t), index(e));
    }
  if (options.noise_deviation.defined()) noise = noise * options.noise_deviation.to(at::kDouble);
  return logits * factor + noise;
}

/// [experts, tokens], without ties even in 16 bits.
at::Tensor distinct_logits() {
  return at::randn({experts, tokens}, at::kDouble).argsort(std::int64_t{0}).to(at::kDouble).mul(0.25).sub(2);
}

void check_gate(const top_k_gate& gate, const torch_gate_options& options, const at::Tensor& bias,
                at::ScalarType type) {
  const at::Tensor logits = distinct_logits().to(type).t().requires_grad_(true);
  const at::Tensor reference = logits.detach().to(at::kDouble).requires_grad_(true);
  const torch_routing to = torch_gate(gate, logits, options);
  CHECK(to.weights.scalar_type() == (type == at::kDouble ? at::kDouble : at::kFloat));

  const at::Tensor z = perturbed(gate, reference, options);
  const at::Tensor scores = gate.scoring == gate_scoring::sigmoid ? at::sigmoid(z) : at::softmax(z, 1);
  at::Tensor choice = scores.detach();
  if (bias.defined()) choice = choice + bias;
  const at::Tensor chosen = std::get<1>(choice.topk(static_cast<std::int64_t>(gate.k), 1));
  const at::Tensor counts = options.token_mask.defined() ? options.token_mask.to(at::kDouble).unsqueeze(1)
                                                         : at::ones({tokens, 1}, at::kDouble);
  const at::Tensor values = scores.gather(1, chosen);
  const at::Tensor weights =
      (gate.renormalize ? values / values.sum(1, true) : values) * gate.scaling_factor * counts;
  CHECK(at::equal(to.experts.to(at::kLong), at::where(counts.eq(0), -1, chosen)));
  CHECK(difference(to.weights, weights) < tolerance(to.weights.scalar_type()));

  const at::Tensor upstream = at::randn({tokens, static_cast<std::int64_t>(gate.k)}, at::kDouble);
  to.weights.backward(upstream.to(to.weights.scalar_type()));
  weights.backward(upstream);
  CHECK(logits.grad().scalar_type() == type);
  CHECK(difference(logits.grad(), reference.grad()) < tolerance(type));
}

const adapter map{
    .student_width = 12, .teacher_width = 12, .bottleneck = 7, .layer_norm = true, .residual = true};

at::Tensor plain_adapter(const at::Tensor& x, const at::Tensor& all) {
  const auto parts = all.split_with_sizes({7 * 12, 7, 7 * 12, 12, 12, 12});
  const at::Tensor inner = at::gelu(at::linear(x, parts[0].reshape({7, 12}), parts[1]));
  return at::layer_norm(at::linear(inner, parts[2].reshape({12, 7}), parts[3]) + x, {12}, parts[4], parts[5],
                        map.epsilon);
}

}  // namespace

TEST_CASE("libtorch agrees on the gate") {
  const at::Tensor mask = at::arange(tokens).remainder(4).ne(0).to(at::kFloat);
  const at::Tensor deviation = at::rand({tokens, experts}, at::kFloat),
                   bias = at::rand({experts}, at::kFloat);
  for (const at::ScalarType type : every_type)
    for (const gate_scoring scoring : {gate_scoring::softmax_then_top_k, gate_scoring::sigmoid})
      for (const bool renormalize : {false, true}) {
        top_k_gate gate{.k = 3, .scoring = scoring, .renormalize = renormalize, .scaling_factor = 1.5};
        check_gate(gate, {}, {}, type);
        if (type != at::kDouble) continue;
        check_gate(gate, {.token_mask = mask}, {}, type);
        gate.expert_bias = torch_vector<float>(bias);
        check_gate(gate, {}, bias, type);
        gate.jitter = 0.2, gate.noise = 0.5;
        check_gate(gate, {.token_mask = mask, .noise_deviation = deviation, .random = {.seed = 3, .step = 5}},
                   bias, type);
      }
}

TEST_CASE("a gate in the graph: what it counts, keeps and refuses") {
  const top_k_gate gate{.k = 2};
  std::vector<std::int64_t> assignments(experts);
  router_statistics statistics{.assignments = assignments};
  const at::Tensor logits = at::randn({tokens, experts}).requires_grad_(true);
  CHECK_FALSE(torch_gate(gate, logits.detach()).weights.requires_grad());
  const at::Tensor inner = logits * 1;
  const at::Tensor weights = torch_gate(gate, inner, {.statistics = &statistics}).weights;
  CHECK(statistics.tokens == tokens);
  weights.sum().backward({}, true);
  inner.mul_(2);
  CHECK_THROWS_WITH(weights.sum().backward(), Contains("modified by an inplace operation"));
  const at::Tensor other = torch_gate(gate, logits).weights;
  CHECK_THROWS_WITH(other.sum().backward({}, true, true),
                    Contains("torch_gate: has no gradient of its gradient"));
  other.sum().backward();
  CHECK_THROWS_WITH(other.sum().backward(), Contains("backward through the graph a second time"));
  CHECK_THROWS_WITH(torch_gate(gate, at::zeros({2, 3}, at::kInt)), Contains("torch_gate: logits is of Int"));
  CHECK_THROWS_WITH(torch_gate(gate, logits, {.token_mask = at::ones({tokens}).to(at::kDouble)}),
                    "torch_gate: token_mask is of Double, needs Float");
  CHECK_THROWS_WITH(torch_gate(gate, logits, {.noise_deviation = at::ones({tokens, experts}, at::kDouble)}),
                    "torch_gate: noise_deviation is of Double, needs Float");
}

TEST_CASE("libtorch agrees on the adapter, and a loss behind it reaches its parameters") {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor parameters = torch_adapter_parameters(map, {.seed = 3}, type);
    const at::Tensor states = at::randn({9, 20}, at::kDouble).to(type).narrow(1, 3, 12).requires_grad_(true);
    const at::Tensor teacher = at::randn({9, 12}, at::kDouble).to(type);
    const auto leaf = [](const at::Tensor& x) {
      return x.detach().to(at::kDouble).contiguous().requires_grad_(true);
    };
    const at::Tensor reference = leaf(parameters), reference_states = leaf(states);
    const at::Tensor output = torch_adapter(map, states, parameters);
    const at::Tensor expected = plain_adapter(reference_states, reference);
    CHECK(difference(output, expected) < tolerance(type));
    (torch_loss(hidden_mse{}, output, teacher) * 3 + output.t().sum()).backward();
    ((expected - teacher.to(at::kDouble)).square().sum(1).mean() * 3 + expected.sum()).backward();
    CHECK(difference(states.grad(), reference_states.grad()) < tolerance(type, 1e-8));
    CHECK(difference(parameters.grad(), reference.grad()) < tolerance(type, 1e-8));
  }
}

TEST_CASE("an adapter in the graph: what it computes, keeps and refuses") {
  const at::Tensor parameters = torch_adapter_parameters(map);
  const at::Tensor states = at::randn({5, 12});
  torch_adapter(map, states, parameters).sum().backward();  // no gradient of the states
  CHECK(parameters.grad().defined());
  const at::Tensor frozen = parameters.detach(), learning = states.clone().requires_grad_(true);
  torch_adapter(map, learning, frozen).square().sum().backward();
  CHECK(learning.grad().defined());
  CHECK_FALSE(torch_adapter(map, states, frozen).requires_grad());
  const at::Tensor output = torch_adapter(map, states, parameters);
  CHECK_THROWS_WITH(output.sum().backward({}, true, true),
                    Contains("torch_adapter: has no gradient of its gradient"));
  {
    const at::NoGradGuard none;
    parameters.add_(1);
  }
  CHECK_THROWS_WITH(output.sum().backward(), Contains("modified by an inplace operation"));
  CHECK_THROWS_WITH(torch_adapter(map, states.to(at::kHalf), parameters),
                    "torch_adapter: input is of Half, needs Float or Double");
  CHECK_THROWS_WITH(torch_adapter(map, states, parameters.to(at::kDouble)),
                    "torch_adapter: parameters is of Double, needs Float");
  CHECK_THROWS_WITH(
      torch_adapter(map, states, at::zeros({2 * parameters.numel()}).slice(0, 0, c10::nullopt, 2)),
      "torch_adapter: parameters must be contiguous");
  CHECK_THROWS_WITH(torch_adapter(map, states, at::zeros({3})),
                    Contains("adapter: parameters has 3 elements, needs 211"));
  CHECK_THROWS_AS(torch_adapter_parameters(map, {}, at::kHalf), parameter_error);
}
