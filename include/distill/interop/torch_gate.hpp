#pragma once

#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_gradient.hpp>
#include <distill/interop/torch_view.hpp>
#include <distill/moe/top_k_gate.hpp>

namespace distill::inline DISTILL_ABI {

/// Where each token goes, as tensors [tokens, k].
struct torch_routing {
  at::Tensor experts;  ///< Int; -1: none
  at::Tensor weights;  ///< Double for Double logits, otherwise Float; differentiable in the logits
};

/// What goes into torch_gate besides the logits; see gate_options. Kept until backward() where it is needed
/// there.
struct torch_gate_options {
  at::Tensor token_mask = {};       ///< [tokens] Float, 0: padding
  at::Tensor noise_deviation = {};  ///< [tokens, experts] Float
  random_stream random = {};
  router_statistics* statistics = nullptr;
};

namespace detail {

/// What backward repeats of the forward call.
struct gate_record {
  top_k_gate gate;
  random_stream random;
};

inline vector_view<const float> gate_mask(const at::Tensor& mask) {
  return mask.defined() ? vector_of<const float>({mask, "torch_gate", "token_mask"})
                        : vector_view<const float>();
}
inline matrix_view<const float> gate_deviation(const at::Tensor& deviation) {
  if (!deviation.defined()) return {};
  const named_tensor x{deviation, "torch_gate", "noise_deviation"};
  const output_matrix m = matrix_of(x);
  if (m.type != element_type::float32) throw_scalar_type(x, "Float");
  return {static_cast<const float*>(m.data), m.rows, m.columns, m.row_stride, m.column_stride};
}

/// Calls f with the matrix_view that m is.
template <class F>
void with_typed_matrix(const input_matrix& m, F f) {
  const auto call = [&]<class T>(const T* data) {
    f(matrix_view<const T>(data, m.rows, m.columns, m.row_stride, m.column_stride));
  };
  switch (m.type) {
    case element_type::float32:
      return call(static_cast<const float*>(m.data));
    case element_type::float64:
      return call(static_cast<const double*>(m.data));
    case element_type::bfloat16:
      return call(static_cast<const bfloat16*>(m.data));
    case element_type::float16:
      return call(static_cast<const float16*>(m.data));
  }
}

inline matrix_view<std::int32_t> expert_matrix(const at::Tensor& experts) {
  return {experts.data_ptr<std::int32_t>(), static_cast<std::size_t>(experts.size(0)),
          static_cast<std::size_t>(experts.size(1))};
}

/// The node of a gate in libtorch's graph.
struct gate_node : ::torch::autograd::Function<gate_node> {
  static at::Tensor forward(::torch::autograd::AutogradContext* context, const at::Tensor& logits,
                            const gate_record& record, const torch_gate_options& options,
                            const torch_routing& made) {
    context->save_for_backward({logits, made.experts, options.token_mask, options.noise_deviation});
    keep(context, record);
    return made.weights;
  }

  static std::vector<at::Tensor> backward(::torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& upstream) {
    refuse_second_order("torch_gate");
    const std::vector<at::Tensor> saved = context->get_saved_variables();
    const gate_record& record = kept<gate_record>(context);
    const at::Tensor &logits = saved[0], gradient = at::empty(logits.sizes(), logits.options());
    const gate_backward_options options{.token_mask = gate_mask(saved[2]),
                                        .random = record.random,
                                        .noise_deviation = gate_deviation(saved[3]),
                                        .executor = executor_of_torch};
    record.gate.backward(matrix_of({logits, "torch_gate", "logits"}),
                         routing<float>{expert_matrix(saved[1]), {}},
                         matrix_of({upstream[0], "torch_gate", "weights"}),
                         matrix_of({gradient, "torch_gate", "gradient"}), options);
    return {gradient, {}, {}, {}};
  }
};

}  // namespace detail

/// A top-k gate on tensors; libtorch differentiates its weights in the logits.
///
/// logits [tokens, experts] of Float, Double, BFloat16 or Half and any strides. Runs on libtorch's threads.
/// Until backward() the graph holds logits, experts and the tensors of `options`; logits modified in place by
/// then are libtorch's error. The gate's expert_bias is read in this call only. Throws: what the gate throws;
/// layout_error and shape_error for tensors that are something else. backward() with create_graph throws
/// parameter_error.
inline torch_routing torch_gate(const top_k_gate& gate, const at::Tensor& logits,
                                const torch_gate_options& options = {}) {
  const detail::input_matrix from = detail::matrix_of({logits, "torch_gate", "logits"});
  const gate_options how{.token_mask = detail::gate_mask(options.token_mask),
                         .statistics = options.statistics,
                         .random = options.random,
                         .noise_deviation = detail::gate_deviation(options.noise_deviation),
                         .executor = detail::executor_of_torch};
  torch_routing made;
  {
    const at::NoGradGuard none;
    const std::vector<std::int64_t> shape{logits.size(0), static_cast<std::int64_t>(gate.k)};
    made.experts = at::empty(shape, at::kInt);
    made.weights = at::empty(shape, detail::value_type(logits));
  }
  detail::with_typed_matrix(from, [&]<class T>(const matrix_view<const T>& typed) {
    using weight = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const auto experts = detail::expert_matrix(made.experts);
    gate(typed,
         routing<weight>{experts, {made.weights.data_ptr<weight>(), experts.rows(), experts.columns()}}, how);
  });
  if (!detail::requires_gradient({logits})) return made;
  detail::gate_record record{gate, options.random};
  record.gate.expert_bias = {};
  const at::Tensor weights = detail::gate_node::apply(logits, record, options, made);
  return {made.experts, weights};
}

}  // namespace distill::inline DISTILL_ABI
