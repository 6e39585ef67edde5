#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <memory>

#include "peers/peers.hpp"

namespace benchmarks {
namespace {

constexpr double temperature = 2.0;

template <class Element>
constexpr at::ScalarType scalar_type = at::kFloat;
template <>
constexpr at::ScalarType scalar_type<bfloat16_bits> = at::kBFloat16;

/// Setting the number is not free, so it is done only when it changes.
void use_threads(int threads) {
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

/// A tensor over the caller's memory; nothing is copied.
template <class Element>
at::Tensor tensor_over(aligned_vector<Element>& memory, const shape& extent) {
  const auto size = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  return at::from_blob(memory.data(), {size(extent.rows), size(extent.columns)},
                       {size(extent.row_stride()), size(extent.column_stride())}, scalar_type<Element>);
}

template <class Element>
contender eager(problem<Element>& task, int threads) {
  const auto student = tensor_over(task.student, task.extent).set_requires_grad(true);
  const auto teacher = tensor_over(task.teacher, task.extent);
  const auto output = tensor_over(task.output, task.extent);
  const auto call = [=] {
    use_threads(threads);
    student.mutable_grad().reset();
    namespace functional = torch::nn::functional;
    const auto loss = functional::kl_div(torch::log_softmax(student / temperature, 1),
                                         torch::softmax(teacher / temperature, 1),
                                         functional::KLDivFuncOptions().reduction(torch::kBatchMean)) *
                      (temperature * temperature);
    loss.backward();
    return loss.template item<double>();
  };
  return {call, oracle::forward_kl(temperature), [=] { output.copy_(student.grad()); }, true};
}

/// The gradient from its formula, without autograd, and as few temporaries as the operations allow.
contender analytic(problem<float>& task, int threads) {
  const auto student = tensor_over(task.student, task.extent);
  const auto teacher = tensor_over(task.teacher, task.extent);
  const auto output = tensor_over(task.output, task.extent);
  const double rows = static_cast<double>(task.extent.rows);
  const auto call = [=] {
    use_threads(threads);
    const at::NoGradGuard no_gradient;
    const auto log_q = at::log_softmax(student / temperature, 1);
    const auto log_p = at::log_softmax(teacher / temperature, 1);
    const auto p = log_p.exp();
    const double value = log_p.sub_(log_q).mul_(p).sum().item<double>();
    auto gradient = output;
    at::sub_out(gradient, log_q.exp_(), p).mul_(temperature / rows);
    return value * temperature * temperature / rows;
  };
  return {call, oracle::forward_kl(temperature), {}};
}

contender softmax(problem<float>& task, int threads) {
  const auto student = tensor_over(task.student, task.extent);
  auto output = tensor_over(task.output, task.extent);
  const auto call = [=]() mutable {
    use_threads(threads);
    const at::NoGradGuard no_gradient;
    at::_softmax_out(output, student, 1, false);
    return 0.0;
  };
  return {call, oracle::softmax(), {}};
}

contender log_softmax(problem<float>& task, int threads) {
  const auto student = tensor_over(task.student, task.extent);
  auto output = tensor_over(task.output, task.extent);
  const auto call = [=]() mutable {
    use_threads(threads);
    const at::NoGradGuard no_gradient;
    at::_log_softmax_out(output, student, 1, false);
    return 0.0;
  };
  return {call, oracle::log_softmax(), {}};
}

/// `loss(student, teacher)` is the sum over the rows; the mean is differentiated.
template <class Loss>
contender hidden_states(problem<float>& task, int threads, const oracle_rule& rule, Loss loss) {
  const auto student = tensor_over(task.student, task.extent).set_requires_grad(true);
  const auto teacher = tensor_over(task.teacher, task.extent);
  const auto output = tensor_over(task.output, task.extent);
  const double rows = static_cast<double>(task.extent.rows);
  const auto call = [=] {
    use_threads(threads);
    student.mutable_grad().reset();
    const auto mean = loss(student, teacher) / rows;
    mean.backward();
    return mean.template item<double>();
  };
  return {call, rule, [=] { output.copy_(student.grad()); }, true};
}

contender hidden_mse(problem<float>& task, int threads) {
  return hidden_states(task, threads, oracle::hidden_mse(), [](const at::Tensor& student, const at::Tensor& teacher) {
    return at::mse_loss(student, teacher, at::Reduction::Sum);
  });
}

contender hidden_cosine(problem<float>& task, int threads) {
  return hidden_states(task, threads, oracle::hidden_cosine(), [](const at::Tensor& student, const at::Tensor& teacher) {
    return (1 - at::cosine_similarity(student, teacher, 1)).sum();
  });
}

}  // namespace

peer_list<float> torch_forward_kl() { return {{"torch_eager", eager<float>}, {"torch_analytic", analytic}}; }
peer_list<bfloat16_bits> torch_forward_kl_bfloat16() { return {{"torch_eager", eager<bfloat16_bits>}}; }
peer_list<float> torch_hidden_states() {
  return {{"torch_mse", hidden_mse}, {"torch_cosine", hidden_cosine}};
}
peer_list<float> torch_softmax() { return {{"torch_softmax", softmax}, {"torch_log_softmax", log_softmax}}; }

}  // namespace benchmarks
