#pragma once

#include <distill/alignment/adapter.hpp>
#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_gradient.hpp>
#include <distill/interop/torch_view.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

template <class T>
std::span<T> span_of(const at::Tensor& x) {
  return {x.data_ptr<T>(), static_cast<std::size_t>(x.numel())};
}
template <class T>
matrix_view<T> typed_matrix(const at::Tensor& x) {
  const output_matrix m = matrix_of({x, "torch_adapter", "input"});
  return {static_cast<T*>(m.data), m.rows, m.columns, m.row_stride, m.column_stride};
}

/// Calls f with a float or a double, which a matrix consists of.
template <class F>
void with_real_type(const at::Tensor& x, F f) {
  x.scalar_type() == at::kDouble ? f(double()) : f(float());
}

inline void check_adapter_tensors(const at::Tensor& input, const at::Tensor& parameters) {
  const named_tensor x{input, "torch_adapter", "input"}, p{parameters, "torch_adapter", "parameters"};
  matrix_of(x);
  require_plain_memory(p);
  require_rank(p, 1, "");
  if (input.scalar_type() != at::kFloat && input.scalar_type() != at::kDouble)
    throw_scalar_type(x, "Float or Double");
  if (parameters.scalar_type() != input.scalar_type())
    throw_scalar_type(p, c10::toString(input.scalar_type()));
  if (!parameters.is_contiguous()) throw layout_error(p.subject() + " must be contiguous");
}

/// The node of an adapter in libtorch's graph.
struct adapter_node : ::torch::autograd::Function<adapter_node> {
  static at::Tensor forward(::torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& parameters, const adapter& map, bool is_recorded) {
    const std::int64_t rows = input.size(0);
    at::Tensor output = at::empty({rows, static_cast<std::int64_t>(map.teacher_width)}, input.options());
    const auto count = static_cast<std::int64_t>(map.saved_count(static_cast<std::size_t>(rows)));
    at::Tensor saved = at::empty({count}, input.options());
    with_real_type(input, [&]<class T>(T) {
      map.forward(typed_matrix<const T>(input), typed_matrix<T>(output),
                  adapter_call<T>{.product = product_of_torch,
                                  .parameters = span_of<T>(parameters),
                                  .saved = span_of<T>(saved),
                                  .executor = executor_of_torch});
    });
    if (is_recorded) {
      context->save_for_backward({input, parameters, saved});
      keep(context, map);
    }
    return output;
  }

  static std::vector<at::Tensor> backward(::torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& upstream) {
    refuse_second_order("torch_adapter");
    const std::vector<at::Tensor> saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &parameters = saved[1], slope = upstream[0].contiguous();
    at::Tensor input_gradient, parameter_gradient;
    if (context->needs_input_grad(0)) input_gradient = at::empty(input.sizes(), input.options());
    if (context->needs_input_grad(1)) parameter_gradient = at::empty_like(parameters);
    with_real_type(input, [&]<class T>(T) {
      adapter_call<T> call{.product = product_of_torch,
                           .parameters = span_of<T>(parameters),
                           .saved = span_of<T>(saved[2]),
                           .executor = executor_of_torch};
      if (parameter_gradient.defined()) call.parameter_gradient = span_of<T>(parameter_gradient);
      matrix_view<T> written;
      if (input_gradient.defined()) written = typed_matrix<T>(input_gradient);
      kept<adapter>(context).backward(typed_matrix<const T>(input), typed_matrix<const T>(slope), written,
                                      call);
    });
    return {input_gradient, parameter_gradient, {}, {}};
  }
};

}  // namespace detail

/// Parameters for an adapter as a leaf that requires grad, ready for an optimizer.
/// @throws parameter_error for another type than Float or Double
inline at::Tensor torch_adapter_parameters(const adapter& map, const adapter_initialization& how = {},
                                           at::ScalarType type = at::kFloat) {
  if (type != at::kFloat && type != at::kDouble)
    throw parameter_error(std::string("torch_adapter_parameters: type must be Float or Double, got ") +
                          c10::toString(type));
  at::Tensor parameters = at::empty({static_cast<std::int64_t>(map.parameter_count())}, type);
  detail::with_real_type(parameters,
                         [&]<class T>(T) { map.initialize(detail::span_of<T>(parameters), how); });
  return parameters.requires_grad_(true);
}

/// An adapter on tensors, differentiable by libtorch in its input and in its parameters.
///
/// input [rows, student width] of Float or Double with contiguous rows, parameters [parameter_count()] of the
/// same type; returns [rows, teacher width]. libtorch multiplies, on its threads. Until backward() the graph
/// holds input, parameters and saved_count(rows) elements; input or parameters modified in place by then are
/// libtorch's error. Throws: what the adapter throws; layout_error and shape_error for tensors that are
/// something else. backward() with create_graph throws parameter_error.
inline at::Tensor torch_adapter(const adapter& map, const at::Tensor& input, const at::Tensor& parameters) {
  detail::check_adapter_tensors(input, parameters);
  return detail::adapter_node::apply(input, parameters, map, detail::requires_gradient({input, parameters}));
}

}  // namespace distill::inline DISTILL_ABI
