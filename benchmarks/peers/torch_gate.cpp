#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <memory>

#include "peers/gate.hpp"

namespace benchmarks {
namespace {

struct routed {
  at::Tensor weights, experts;
};

at::Tensor logits_of(problem<float>& task, const gate_task& what) {
  const auto tokens = static_cast<std::int64_t>(task.extent.rows),
             n = static_cast<std::int64_t>(task.extent.columns);
  return what.equal ? at::zeros({tokens, n}) : at::from_blob(task.student.data(), {tokens, n}, at::kFloat);
}

routed route(const gate_task& what, const at::Tensor& logits, const at::Tensor& bias) {
  const auto k = static_cast<std::int64_t>(what.k);
  if (!what.deepseek) {
    auto [values, experts] = at::softmax(logits, 1).topk(k, 1);
    return {values / values.sum(1, true), experts};
  }
  const auto scores = at::sigmoid(logits);
  const auto groups = (scores + bias).view({logits.size(0), 8, -1});
  const auto best = std::get<1>(std::get<0>(groups.topk(2, 2)).sum(2).topk(4, 1));
  const auto dropped = at::ones({logits.size(0), 8}, at::kBool).scatter(1, best, false).unsqueeze(2);
  const auto choice = groups.masked_fill(dropped, -1e30).view_as(logits);
  const auto experts = std::get<1>(choice.topk(k, 1));
  const auto values = scores.gather(1, experts);
  return {values / values.sum(1, true), experts};
}

contender forward(const gate_task& what, problem<float>& task) {
  const auto logits = logits_of(task, what);
  auto bias = at::empty({logits.size(1)});
  for (std::int64_t e = 0; e < logits.size(1); ++e) bias[e] = bias_of(static_cast<std::size_t>(e));
  const auto last = std::make_shared<routed>();
  const auto call = [=] {
    if (at::get_num_threads() != 1) at::set_num_threads(1);
    const at::NoGradGuard no_gradient;
    *last = route(what, logits, bias);
    return 0.0;
  };
  const auto publish = [=, &task] {
    auto map = at::from_blob(task.output.data(), logits.sizes(), at::kFloat);
    if (what.equal)
      map.fill_(1.0 / static_cast<double>(logits.size(1)));
    else
      map.zero_().scatter_(1, last->experts, last->weights);
  };
  return {call, gate_weights(what), publish, true};
}

contender training(const gate_task& what, problem<float>& task) {
  const auto logits = logits_of(task, what).set_requires_grad(true);
  const auto upstream = at::from_blob(task.teacher.data(), logits.sizes(), at::kFloat);
  const auto output = at::from_blob(task.output.data(), logits.sizes(), at::kFloat);
  const auto tokens = static_cast<double>(logits.size(0)), n = static_cast<double>(logits.size(1));
  const auto call = [=] {
    if (at::get_num_threads() != 1) at::set_num_threads(1);
    logits.mutable_grad().reset();
    const auto probabilities = torch::softmax(logits, 1);
    const auto [values, experts] = probabilities.topk(static_cast<std::int64_t>(what.k), 1);
    const auto weights = values / values.sum(1, true);
    const auto counts = at::bincount(experts.flatten(), {}, logits.size(1)).to(at::kFloat);
    const auto share = counts / (static_cast<double>(what.k) * tokens);
    const auto balance = (share * probabilities.mean(0)).sum() * (switch_coefficient * n);
    const auto z = torch::logsumexp(logits, 1).square().mean() * z_coefficient;
    ((weights * upstream.gather(1, experts)).sum() + balance + z).backward();
    return 0.0;
  };
  return {call, gate_gradient(what, task), [=] { output.copy_(logits.grad()); }, true};
}

}  // namespace

peer_list<float> torch_gate(const gate_task& what) {
  return {{"torch", [what](problem<float>& task, int) { return forward(what, task); }}};
}
peer_list<float> torch_gate_training(const gate_task& what) {
  return {{"torch", [what](problem<float>& task, int) { return training(what, task); }}};
}

}  // namespace benchmarks
