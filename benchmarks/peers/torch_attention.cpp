#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "peers/peers.hpp"

namespace benchmarks {
namespace {

void use_threads(int threads) {
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

std::int64_t size(std::size_t n) { return static_cast<std::int64_t>(n); }

at::Tensor divergence(const at::Tensor& student, const at::Tensor& teacher) {
  namespace functional = torch::nn::functional;
  return functional::kl_div(torch::log_softmax(student, -1), torch::softmax(teacher, -1),
                            functional::KLDivFuncOptions().reduction(torch::kSum)) /
         static_cast<double>(student.numel() / student.size(-1));
}

contender maps(problem<float>& task, int threads) {
  const auto over = [&](aligned_vector<float>& memory) {
    return at::from_blob(memory.data(), {size(task.extent.rows), size(task.extent.columns)}, at::kFloat);
  };
  const auto student = over(task.student).set_requires_grad(true), teacher = over(task.teacher);
  const auto output = over(task.output);
  const auto call = [=] {
    use_threads(threads);
    student.mutable_grad().reset();
    const auto loss = divergence(student, teacher);
    loss.backward();
    return loss.item<double>();
  };
  return {call, oracle::forward_kl(1), [=] { output.copy_(student.grad()); }, true};
}

/// The first half of the memory is queries, the second keys.
at::Tensor half(aligned_vector<float>& memory, int which, const attention_extent& of) {
  return at::from_blob(memory.data() + static_cast<std::size_t>(which) * (memory.size() / 2),
                       {size(of.heads), size(of.positions), size(of.width)}, at::kFloat);
}

contender products(problem<float>& task, int threads, const attention_extent& of) {
  const auto q = half(task.student, 0, of).set_requires_grad(true),
             k = half(task.student, 1, of).set_requires_grad(true);
  const auto tq = half(task.teacher, 0, of), tk = half(task.teacher, 1, of);
  const auto dq = half(task.output, 0, of), dk = half(task.output, 1, of);
  const auto call = [=] {
    use_threads(threads);
    q.mutable_grad().reset();
    k.mutable_grad().reset();
    const auto loss = divergence(torch::bmm(q, k.transpose(1, 2)) * of.scale,
                                 torch::bmm(tq, tk.transpose(1, 2)) * of.scale);
    loss.backward();
    return loss.item<double>();
  };
  return {call, oracle::nothing(), [=] { dq.copy_(q.grad()), dk.copy_(k.grad()); }, true};
}

}  // namespace

peer_list<float> torch_attention_maps() { return {{"torch_eager", maps}}; }
peer_list<float> torch_attention_products(const attention_extent& of) {
  return {{"torch_eager", [=](problem<float>& task, int threads) { return products(task, threads, of); }}};
}

}  // namespace benchmarks
