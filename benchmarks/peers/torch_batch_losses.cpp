#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "peers/peers.hpp"

namespace benchmarks {
namespace {

at::Tensor tensor_over(aligned_vector<float>& memory, const shape& extent) {
  return at::from_blob(memory.data(),
                       {static_cast<std::int64_t>(extent.rows), static_cast<std::int64_t>(extent.columns)},
                       at::kFloat);
}

/// Value and gradient of `loss(student, teacher)` by autograd.
template <class Loss>
peer<float> eager(std::string name, const oracle_rule& rule, Loss loss) {
  return {std::move(name), [=](problem<float>& task, int threads) -> contender {
            const auto student = tensor_over(task.student, task.extent).set_requires_grad(true);
            const auto teacher = tensor_over(task.teacher, task.extent);
            const auto output = tensor_over(task.output, task.extent);
            const auto call = [=] {
              if (at::get_num_threads() != threads) at::set_num_threads(threads);
              student.mutable_grad().reset();
              const at::Tensor value = loss(student, teacher);
              value.backward();
              return value.item<double>();
            };
            return {call, rule, [=] { output.copy_(student.grad()); }, true};
          }};
}

at::Tensor pearson(const at::Tensor& a, const at::Tensor& b, std::int64_t along) {
  return at::cosine_similarity(a - a.mean(along, true), b - b.mean(along, true), along);
}

at::Tensor correlation(const at::Tensor& student, const at::Tensor& teacher) {
  const at::Tensor q = at::softmax(student, 1), p = at::softmax(teacher, 1);
  return (1 - pearson(q, p, 1)).mean() + (1 - pearson(q, p, 0)).mean();
}

at::Tensor universal_logit(const at::Tensor& student, const at::Tensor& teacher) {
  const auto sorted = [](const at::Tensor& logits) {
    return std::get<0>(at::softmax(logits, 1).sort(1, true));
  };
  return (sorted(student) - sorted(teacher)).abs().sum() / static_cast<double>(student.size(0));
}

/// Over the pairs of the teacher's k largest logits.
template <class PairLoss>
auto ranking(std::int64_t k, PairLoss loss) {
  return [=](const at::Tensor& student, const at::Tensor& teacher) {
    const at::Tensor z = student.gather(1, std::get<1>(teacher.topk(k, 1)));
    const at::Tensor upper = torch::ones({k, k}).triu(1);
    return (loss(z.unsqueeze(2) - z.unsqueeze(1)) * upper).sum() /
           (static_cast<double>(k * (k - 1) / 2) * static_cast<double>(student.size(0)));
  };
}

}  // namespace

peer_list<float> torch_correlation() { return {eager("torch_correlation", oracle::nothing(), correlation)}; }
peer_list<float> torch_universal_logit() {
  return {eager("torch_universal_logit", oracle::universal_logit(), universal_logit)};
}
peer_list<float> torch_ranking(std::size_t classes) {
  const auto k = static_cast<std::int64_t>(classes);
  return {eager("torch_hinge", oracle::ranking_hinge(classes),
                ranking(k, [](const at::Tensor& x) { return (1 - x).clamp_min(0); })),
          eager("torch_logistic", oracle::ranking_logistic(classes),
                ranking(k, [](const at::Tensor& x) { return at::softplus(-x); }))};
}

}  // namespace benchmarks
