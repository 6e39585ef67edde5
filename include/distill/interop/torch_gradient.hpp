#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/graph_task.h>

#include <algorithm>
#include <distill/error/error.hpp>
#include <distill/interop/torch_memory.hpp>
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

/// Memory for the gradient of input number `index`, in its layout. A Half input has a float one: the upstream
/// gradient, often a loss scale, comes later, and until then the entries may be below what Half holds.
inline at::Tensor gradient_memory(const at::Tensor& input, torch_memory* memory, std::size_t index) {
  const at::ScalarType type = input.scalar_type() == at::kHalf ? at::kFloat : input.scalar_type();
  return memory != nullptr ? memory->gradient_like(input, type, index) : new_tensor(input, type);
}

inline void refuse_second_order(const char* function) {
  if (at::GradMode::is_enabled())
    throw parameter_error(std::string(function) +
                          ": has no gradient of its gradient; call backward without create_graph");
}

/// What a node needs in backward besides tensors.
template <class T>
struct kept_value : ::torch::CustomClassHolder {
  T value;
  explicit kept_value(const T& v) : value(v) {}
};
template <class T>
void keep(::torch::autograd::AutogradContext* context, const T& value) {
  context->saved_data["distill"] = c10::IValue::make_capsule(c10::make_intrusive<kept_value<T>>(value));
}
template <class T>
const T& kept(::torch::autograd::AutogradContext* context) {
  return static_cast<const kept_value<T>&>(*context->saved_data.at("distill").toCapsule()).value;
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
  // The one number of `upstream`, or its factors of rows, times the gradient. A factor of the gradient's rank
  // is not rounded to the gradient's 16 bits first; blocks of rows keep small what libtorch widens to float
  // for that.
  static at::Tensor scaled(const at::Tensor& gradient, const at::Tensor& upstream, bool may_overwrite) {
    if (upstream.eq(1).all().item<bool>()) return gradient;
    at::Tensor factor = upstream;
    while (factor.dim() < gradient.dim()) factor = factor.unsqueeze(-1);
    const at::Tensor result = may_overwrite ? gradient : gradient.clone();
    constexpr std::int64_t block = 64;
    const bool is_narrow = gradient.scalar_type() == at::kBFloat16;
    for (std::int64_t row = 0, count; row < result.size(0); row += count) {
      count = is_narrow ? std::min(block, result.size(0) - row) : result.size(0);
      result.narrow(0, row, count).mul_(factor.size(0) == 1 ? factor : factor.narrow(0, row, count));
    }
    return result;
  }
};

/// `evaluate(gradients, row_values)` as a tensor that autograd can differentiate. `gradients` is empty where
/// nobody will ask for them, in `memory` if that is given. `row_shape` is that of the result, or empty for a
/// single number.
template <class Evaluate>
at::Tensor differentiable(const std::vector<at::Tensor>& inputs, at::IntArrayRef row_shape,
                          torch_memory* memory, Evaluate evaluate) {
  const bool wanted = requires_gradient(inputs);
  computed_gradient computed;
  {
    const at::NoGradGuard guard;
    for (std::size_t i = 0; wanted && i < inputs.size(); ++i)
      computed.gradients.push_back(gradient_memory(inputs[i], memory, i));
    const auto options = at::TensorOptions().dtype(value_type(inputs[0]));
    at::Tensor row_values;
    if (!row_shape.empty()) row_values = at::empty(row_shape, options.dtype(at::kDouble));
    const double value = evaluate(std::as_const(computed.gradients), std::as_const(row_values));
    computed.value =
        row_shape.empty() ? at::scalar_tensor(value, options) : row_values.to(value_type(inputs[0]));
  }
  return wanted ? stored_gradient::apply(at::TensorList(inputs), computed) : computed.value;
}

}  // namespace distill::inline DISTILL_ABI::detail
