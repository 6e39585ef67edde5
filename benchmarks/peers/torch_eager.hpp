#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <utility>

#include "peers/contender.hpp"

/// What a user of libtorch writes: operations one after the other, gradients by autograd.
namespace benchmarks {

inline at::Tensor tensor_over(aligned_vector<float>& memory, const shape& extent) {
  return at::from_blob(memory.data(),
                       {static_cast<std::int64_t>(extent.rows), static_cast<std::int64_t>(extent.columns)},
                       at::kFloat);
}

/// Setting the number is not free, so it is done only when it changes.
inline void use_torch_threads(int threads) {
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

/// Value and gradient of `loss(student, teacher, labels)`.
template <class Loss>
peer<float> torch_eager(std::string name, const oracle_rule& rule, Loss loss) {
  return {std::move(name), [=](problem<float>& task, int threads) -> contender {
            const auto student = tensor_over(task.student, task.extent).set_requires_grad(true);
            const auto teacher = tensor_over(task.teacher, task.extent);
            const auto output = tensor_over(task.output, task.extent);
            const auto labels =
                at::from_blob(task.labels.data(), {static_cast<std::int64_t>(task.labels.size())}, at::kLong);
            const auto call = [=] {
              use_torch_threads(threads);
              student.mutable_grad().reset();
              const at::Tensor value = loss(student, teacher, labels);
              value.backward();
              return value.item<double>();
            };
            return {call, rule, [=] { output.copy_(student.grad()); }, true};
          }};
}

/// The result of `f(student, teacher)`, a matrix or one number for each row, without autograd.
template <class F>
peer<float> torch_function(std::string name, const oracle_rule& rule, F f) {
  return {std::move(name), [=](problem<float>& task, int threads) -> contender {
            const auto student = tensor_over(task.student, task.extent),
                       teacher = tensor_over(task.teacher, task.extent);
            const auto result = std::make_shared<at::Tensor>();
            const auto call = [=] {
              use_torch_threads(threads);
              const at::NoGradGuard no_gradient;
              *result = f(student, teacher);
              return 0.0;
            };
            const auto publish = [=, &task] {
              at::from_blob(task.output.data(), result->sizes(), at::kFloat).copy_(*result);
            };
            return {call, rule, publish, true};
          }};
}

}  // namespace benchmarks
