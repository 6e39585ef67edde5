// A router in libtorch's graph: weights, what its losses are made of, and the losses.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/moe/count_statistics.hpp>

using namespace distill;
using namespace torch_agreement;
using Catch::Matchers::Contains;

namespace {

constexpr std::int64_t tokens = 24, experts = 10, sequences = 4;

/// A router in libtorch's operations, in double.
struct plain_router {
  at::Tensor weights, probabilities, squares, chosen, counts;  // of each token; counts 0 or 1

  plain_router(const top_k_gate& gate, const at::Tensor& z, const at::Tensor& mask)
      : counts(mask.defined() ? mask.to(at::kDouble) : at::ones({tokens}, at::kDouble)) {
    const bool is_sigmoid = gate.scoring == gate_scoring::sigmoid;
    const at::Tensor scores = is_sigmoid ? at::sigmoid(z) : at::softmax(z, 1);
    probabilities = scores / scores.sum(1, true);
    chosen = std::get<1>(z.topk(static_cast<std::int64_t>(gate.k), 1));
    const at::Tensor values = scores.gather(1, chosen);
    weights = (gate.renormalize ? values / values.sum(1, true) : values) * gate.scaling_factor *
              counts.unsqueeze(1);
    squares = z.logsumexp(1).square();
  }
  at::Tensor assignments(std::int64_t slots) const {  // [tokens, experts]
    return at::one_hot(chosen.narrow(1, 0, slots), experts).sum(1).to(at::kDouble) * counts.unsqueeze(1);
  }
  at::Tensor balance(std::int64_t slots) const {
    const at::Tensor n = counts.sum();
    return experts *
           (assignments(slots).sum(0) / (n * slots) * (probabilities * counts.unsqueeze(1)).sum(0) / n).sum();
  }
  at::Tensor sequence_balance(std::int64_t slots) const {
    const auto by_sequence = [](const at::Tensor& x) { return x.view({sequences, -1, experts}).sum(1); };
    const at::Tensor n = counts.view({sequences, -1}).sum(1, true).clamp_min(1);
    const at::Tensor f = by_sequence(assignments(slots)) / (n * slots),
                     p = by_sequence(probabilities * counts.unsqueeze(1)) / n;
    return (f * p).sum() * experts / counts.view({sequences, -1}).sum(1).ne(0).sum();
  }
  at::Tensor z_loss() const { return (squares * counts).sum() / counts.sum(); }
  at::Tensor importance() const {
    const at::Tensor sums =
        at::zeros({experts}, at::kDouble).index_add(0, chosen.flatten(), weights.flatten());
    return sums.var(0, true, false) / (sums.mean().square() + 1e-10);
  }
};

/// What torch_loss makes of a routing, each with a factor of its own.
at::Tensor all_losses(const at::Tensor& upstream, const torch_routing& to) {
  return (to.weights * upstream.to(to.weights.scalar_type())).sum().to(at::kDouble) +
         3 * torch_loss(switch_loss{.coefficient = 0.5}, to) +
         2 * torch_loss(gshard_loss{.coefficient = 0.25}, to) -
         torch_loss(sequence_balance_loss{.coefficient = 0.75}, to) +
         0.5 * torch_loss(router_z_loss{.coefficient = 0.1}, to) +
         0.3 * torch_loss(importance_loss{.coefficient = 2}, to);
}
at::Tensor all_losses(const at::Tensor& upstream, const plain_router& r, std::int64_t k) {
  return (r.weights * upstream).sum() + 1.5 * r.balance(k) + 0.5 * r.balance(1) -
         0.75 * r.sequence_balance(k) + 0.05 * r.z_loss() + 0.6 * r.importance();
}

at::Tensor distinct_logits() {
  return at::randn({experts, tokens}, at::kDouble).argsort(std::int64_t{0}).to(at::kDouble).mul(0.25).sub(1);
}

std::vector<top_k_gate> every_gate() {
  std::vector<top_k_gate> all;
  for (const gate_scoring scoring : {gate_scoring::softmax_then_top_k, gate_scoring::sigmoid})
    for (const bool renormalize : {false, true})
      all.push_back({.k = 3, .scoring = scoring, .renormalize = renormalize, .scaling_factor = 1.5});
  return all;
}

/// The last sequence is padding only.
at::Tensor some_mask() {
  at::Tensor mask = at::arange(tokens).remainder(4).ne(0).to(at::kFloat);
  mask.narrow(0, tokens - tokens / sequences, tokens / sequences).fill_(0);
  return mask;
}

}  // namespace

TEST_CASE("libtorch agrees on the router's losses, together in one node") {
  for (const top_k_gate& gate : every_gate())
    for (const at::ScalarType type : every_type)
      for (const at::Tensor& mask : {at::Tensor(), some_mask()}) {
        const at::Tensor logits = distinct_logits().to(type).t().requires_grad_(true);
        const at::Tensor reference = logits.detach().to(at::kDouble).requires_grad_(true);
        const at::Tensor upstream = at::randn({tokens, 3}, at::kDouble);
        const torch_routing to =
            torch_gate(gate, logits, {.token_mask = mask, .router_losses = true, .sequences = sequences});
        const plain_router plain(gate, reference, mask);
        const at::Tensor ours = all_losses(upstream, to), theirs = all_losses(upstream, plain, 3);
        CAPTURE(c10::toString(type), mask.defined());
        CHECK(ours.scalar_type() == at::kDouble);
        CHECK(difference(ours, theirs) < tolerance(type == at::kDouble ? at::kDouble : at::kFloat));
        (ours * 0.7).backward();
        (theirs * 0.7).backward();
        CHECK(logits.grad().scalar_type() == type);
        CHECK(difference(logits.grad(), reference.grad()) < tolerance(type, 1e-8));
      }
}

TEST_CASE("each loss of a router alone, without the weights") {
  using function = std::function<at::Tensor(const torch_routing&)>;
  using plain_function = std::function<at::Tensor(const plain_router&)>;
  const std::vector<std::pair<function, plain_function>> cases = {
      {[](const auto& to) { return torch_loss(switch_loss{.coefficient = 2}, to); },
       [](const auto& r) { return 2 * r.balance(3); }},
      {[](const auto& to) {
         return torch_loss(switch_loss{.coefficient = 2, .experts_per_token = 6}, to, {.denominator = 50});
       },
       [](const auto& r) { return r.balance(3) * r.counts.sum() / 50; }},
      {[](const auto& to) { return torch_loss(gshard_loss{.coefficient = 2}, to, {.denominator = 50}); },
       [](const auto& r) { return 2 * r.balance(1) * r.counts.sum() / 50; }},
      {[](const auto& to) {
         return torch_loss(sequence_balance_loss{.coefficient = 2}, to, {.denominator = 2});
       },
       [](const auto& r) { return 3 * r.sequence_balance(3); }},
      {[](const auto& to) { return torch_loss(router_z_loss{.coefficient = 2}, to, {.denominator = 50}); },
       [](const auto& r) { return 2 * r.z_loss() * r.counts.sum() / 50; }},
      {[](const auto& to) { return torch_loss(importance_loss{.coefficient = 2, .unbiased = false}, to); },
       [](const auto& r) { return 2 * r.importance() * (experts - 1) / experts; }},
      // one of a user's own: the entropy of the mean probability
      {[](const auto& to) {
         const at::Tensor p = to.probability_sums.sum(0) / to.counted.sum();
         return -(p * p.log()).sum();
       },
       [](const auto& r) {
         const at::Tensor p = (r.probabilities * r.counts.unsqueeze(1)).sum(0) / r.counts.sum();
         return -(p * p.log()).sum();
       }}};
  for (const top_k_gate& gate : every_gate())
    for (std::size_t i = 0; i < cases.size(); ++i) {
      CAPTURE(i, static_cast<int>(gate.scoring), gate.renormalize);
      const at::Tensor logits = distinct_logits().t().requires_grad_(true);
      const at::Tensor reference = logits.detach().clone().requires_grad_(true);
      const at::Tensor mask = some_mask();
      const at::Tensor value = cases[i].first(
          torch_gate(gate, logits, {.token_mask = mask, .router_losses = true, .sequences = sequences}));
      const at::Tensor expected = cases[i].second(plain_router(gate, reference, mask));
      CHECK(difference(value, expected) < 1e-9);
      value.backward(at::full({}, -1.25, value.options()));
      expected.backward(at::full({}, -1.25, at::kDouble));
      CHECK((logits.grad() - reference.grad()).abs().max().item<double>() < 1e-9);
      CHECK(logits.grad().abs().max().item<double>() > 1e-6);
    }
}

TEST_CASE("numbers differentiate a router's losses, noise included") {
  const at::Tensor logits = distinct_logits().t().contiguous().requires_grad_(true);
  const at::Tensor upstream = at::randn({tokens, 3}, at::kDouble),
                   deviation = at::rand({tokens, experts}).to(at::kFloat);
  for (const top_k_gate& plain : every_gate()) {
    top_k_gate gate = plain;
    gate.jitter = 0.05, gate.noise = 0.05;
    const auto loss = [&] {
      return all_losses(upstream, torch_gate(gate, logits,
                                             {.noise_deviation = deviation,
                                              .random = {.seed = 3, .step = 5},
                                              .router_losses = true,
                                              .sequences = sequences}));
    };
    logits.mutable_grad() = at::Tensor();
    loss().backward();
    for (std::int64_t i = 0; i < logits.numel(); i += 7)
      CHECK(logits.grad().data_ptr<double>()[i] ==
            Approx(central_difference(logits, i, 1e-6, loss)).margin(1e-8).epsilon(1e-5));
  }
}

TEST_CASE("a router's counts are those of the gate, and a caller's statistics are added to") {
  const at::Tensor mask = some_mask(), logits = at::randn({tokens, experts});
  std::vector<std::int64_t> assignments(experts, 5);
  std::vector<double> sums(experts, 0.5);
  router_statistics statistics{.assignments = assignments, .probability_sums = sums, .tokens = 25};
  const torch_routing to = torch_gate(
      {.k = 2}, logits,
      {.token_mask = mask, .statistics = &statistics, .router_losses = true, .sequences = sequences});
  CHECK_FALSE(to.probability_sums.requires_grad());
  CHECK(to.assignments.sizes() == at::IntArrayRef({sequences, experts}));
  CHECK(to.counted.sum().item<std::int64_t>() == mask.sum().item<double>());
  CHECK(to.counted[sequences - 1].item<std::int64_t>() == 0);
  CHECK(statistics.tokens == to.counted.sum().item<std::int64_t>() + 25);
  for (std::int64_t e = 0; e < experts; ++e) {
    const auto i = static_cast<std::size_t>(e);
    CHECK(assignments[i] == to.assignments.sum(0)[e].item<std::int64_t>() + 5);
    CHECK(sums[i] == Approx(to.probability_sums.sum(0)[e].item<double>() + 0.5));
  }
  // counts over more than this batch
  const expert_load load{assignments, statistics.tokens};
  const auto f = at::tensor(assignments).to(at::kDouble) / (2.0 * static_cast<double>(statistics.tokens));
  const auto p = to.probability_sums.sum(0) / to.counted.sum();
  CHECK(torch_loss(switch_loss{.coefficient = 1}, to, load).item<double>() ==
        Approx((f * p).sum().item<double>() * experts));
  CHECK(torch_loss(gshard_loss{.coefficient = 1}, to, expert_load{assignments, 2 * statistics.tokens})
            .item<double>() == Approx((f * p).sum().item<double>() * experts));
  router_statistics counts_only{.assignments = assignments};
  torch_gate({.k = 2}, logits, {.statistics = &counts_only, .router_losses = true});
  CHECK(counts_only.tokens == tokens);
  CHECK(counts_only.squared_log_sum_exp == 0);
}

TEST_CASE("a router in the graph: what it computes, keeps and refuses") {
  const top_k_gate gate{.k = 2};
  const torch_gate_options counting{.router_losses = true};
  const at::Tensor logits = at::randn({tokens, experts}).requires_grad_(true);
  {
    const at::NoGradGuard none;
    CHECK_FALSE(torch_gate(gate, logits, counting).probability_sums.requires_grad());
    CHECK_FALSE(torch_loss(switch_loss{}, torch_gate(gate, logits, counting)).requires_grad());
  }
  // masked and bad tokens get nothing, whatever the losses
  const at::Tensor bad = logits.detach().clone();
  bad[3][4] = INFINITY;
  bad.requires_grad_(true);
  const torch_routing with_bad = torch_gate(gate, bad, counting);
  CHECK(with_bad.bad_rows == 1);
  (torch_loss(switch_loss{}, with_bad) + torch_loss(router_z_loss{}, with_bad)).backward();
  CHECK(bad.grad()[3].abs().sum().item<double>() == 0);
  CHECK(bad.grad()[2].abs().sum().item<double>() > 0);
  // two of three outputs, each twice in one graph
  const torch_routing to = torch_gate(gate, logits, counting);
  const at::Tensor z = torch_loss(router_z_loss{.coefficient = 1}, to);
  (z + z).backward({}, true);
  const at::Tensor twice = logits.grad().clone();
  logits.mutable_grad() = at::Tensor();
  z.backward({}, true);
  CHECK(difference(twice, logits.grad() * 2) < 1e-6);
  logits.mutable_grad() = at::Tensor();
  (z * NAN).backward({}, true);
  CHECK(logits.grad().isnan().all().item<bool>());
  CHECK_THROWS_WITH(z.backward({}, true, true), Contains("torch_loss: has no gradient of its gradient"));
  CHECK_THROWS_WITH(to.probability_sums.sum().backward({}, true, true),
                    Contains("torch_gate: has no gradient of its gradient"));
  z.backward();
  CHECK_THROWS_WITH(to.weights.sum().backward(), Contains("backward through the graph a second time"));

  CHECK_THROWS_WITH(torch_loss(switch_loss{}, torch_gate(gate, logits)),
                    "torch_loss: nothing was counted for the routing; torch_gate needs router_losses = true");
  CHECK_THROWS_WITH(torch_loss(router_z_loss{}, to, {.accumulate = true}),
                    "torch_loss: autograd accumulates; accumulate must be false");
  CHECK_THROWS_WITH(torch_gate(gate, logits, {.router_losses = true, .sequences = 7}),
                    "top_k_gate: sequences has 7 sequences, logits has 24 tokens; they must divide evenly");
  CHECK_THROWS_WITH(torch_loss(switch_loss{.experts_per_token = -1}, to),
                    "switch_loss: experts_per_token must be in [1, 10], got -1");
}

TEST_CASE("a router without tokens has losses of 0 and an empty gradient") {
  const at::Tensor logits = at::empty({0, experts}).requires_grad_(true);
  const torch_routing to = torch_gate({.k = 2}, logits, {.router_losses = true, .sequences = sequences});
  const at::Tensor loss = torch_loss(switch_loss{}, to) + torch_loss(router_z_loss{}, to) +
                          torch_loss(sequence_balance_loss{}, to) + to.weights.sum();
  CHECK(loss.item<double>() == 0);
  loss.backward();
  CHECK(logits.grad().sizes() == logits.sizes());
}
