#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/graph_task.h>

#include <distill/error/error.hpp>
#include <utility>
#include <vector>

namespace distill::inline DISTILL_ABI::detail {

/// Whether autograd will ask for the gradient of one of them.
inline bool requires_gradient(const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& input : inputs)
    if (input.defined() && input.requires_grad()) return true;
  return false;
}

/// Values are float for 16-bit inputs.
inline at::ScalarType value_type(const at::Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Memory for a gradient in the layout of its input. A Half input has a float one: the upstream gradient, often a
/// loss scale, comes later, and until then the entries may be below what Half holds.
inline at::Tensor gradient_memory(const at::Tensor& input) {
  return at::empty_like(input, input.scalar_type() == at::kHalf ? at::kFloat : input.scalar_type());
}

inline void refuse_second_order(const char* function) {
  if (at::GradMode::is_enabled())
    throw parameter_error(std::string(function) +
                          ": has no gradient of its gradient; call backward without create_graph");
}

/// What was computed in the forward call.
struct computed_gradient {
  at::Tensor value;
  std::vector<at::Tensor> gradients;  // one for each input; of the sum of value
};

/// The node in libtorch's graph that hands back a gradient computed before.
struct stored_gradient : ::torch::autograd::Function<stored_gradient> {
  static at::Tensor forward(::torch::autograd::AutogradContext* context, const at::TensorList& /*inputs*/,
                            const computed_gradient& computed) {
    context->save_for_backward(computed.gradients);
    return computed.value;
  }

  static std::vector<at::Tensor> backward(::torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& upstream) {
    refuse_second_order("torch_loss");
    std::vector<at::Tensor> gradients = context->get_saved_variables();
    const bool is_last = !::torch::autograd::get_current_graph_task_keep_graph();
    for (at::Tensor& gradient : gradients) gradient = scaled(gradient, upstream[0], is_last);
    gradients.emplace_back();  // of `computed`
    return gradients;
  }

 private:
  // The row factors of `upstream`, or its one number, times the gradient.
  static at::Tensor scaled(const at::Tensor& gradient, const at::Tensor& upstream, bool may_overwrite) {
    if (upstream.eq(1).all().item<bool>()) return gradient;
    at::Tensor factor = upstream.to(gradient.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
    while (upstream.dim() > 0 && factor.dim() < gradient.dim()) factor = factor.unsqueeze(-1);
    return may_overwrite ? gradient.mul_(factor) : gradient.mul(factor).to(gradient.scalar_type());
  }
};

/// `evaluate(gradients, row_values)` as a tensor that autograd can differentiate. `gradients` is empty where nobody
/// will ask for them. `row_shape` is that of the result, or empty for a single number.
template <class Evaluate>
at::Tensor differentiable(const std::vector<at::Tensor>& inputs, at::IntArrayRef row_shape, Evaluate evaluate) {
  const bool wanted = requires_gradient(inputs);
  computed_gradient computed;
  {
    const at::NoGradGuard no_gradient;
    for (const at::Tensor& input : inputs)
      if (wanted) computed.gradients.push_back(gradient_memory(input));
    const auto options = at::TensorOptions().dtype(value_type(inputs[0]));
    at::Tensor row_values;
    if (!row_shape.empty()) row_values = at::empty(row_shape, options.dtype(at::kDouble));
    const double value = evaluate(std::as_const(computed.gradients), std::as_const(row_values));
    computed.value = row_shape.empty() ? at::scalar_tensor(value, options) : row_values.to(value_type(inputs[0]));
  }
  return wanted ? stored_gradient::apply(at::TensorList(inputs), computed) : computed.value;
}

}  // namespace distill::inline DISTILL_ABI::detail
