#pragma once

#include <cmath>
#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_gradient.hpp>
#include <distill/interop/torch_view.hpp>
#include <distill/moe/count_statistics.hpp>
#include <distill/moe/top_k_gate.hpp>
#include <functional>

namespace distill::inline DISTILL_ABI {

/// Where each token goes, as tensors, and what the router's losses are made of.
struct torch_routing {
  at::Tensor experts;  ///< [tokens, k] Int; -1: none
  at::Tensor
      weights;  ///< [tokens, k] Double for Double logits, otherwise Float; differentiable in the logits

  /// The rest only with torch_gate_options::router_losses; see router_statistics.
  at::Tensor assignments;          ///< [sequences, experts] Long
  at::Tensor counted;              ///< [sequences] Long: tokens
  at::Tensor probability_sums;     ///< [sequences, experts] Double; differentiable in the logits
  at::Tensor squared_log_sum_exp;  ///< [1] Double; differentiable in the logits
  std::int64_t bad_rows = 0;
};

/// What goes into torch_gate besides the logits; see gate_options. Kept until backward() where it is needed
/// there.
struct torch_gate_options {
  at::Tensor token_mask = {};       ///< [tokens] Float, 0: padding
  at::Tensor noise_deviation = {};  ///< [tokens, experts] Float
  random_stream random = {};
  router_statistics* statistics = nullptr;
  /// Count what torch_loss of a balance loss needs, or losses of your own.
  bool router_losses = false;
  /// So many sequences of equal length, one after the other, are counted each for itself.
  std::size_t sequences = 1;
};

namespace detail {

/// What backward repeats of the forward call.
struct gate_record {
  top_k_gate gate;
  random_stream random;
  std::size_t tokens_per_sequence;
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

/// The node of a gate in libtorch's graph: weights and, where counted, sums of probabilities and squares.
struct gate_node : ::torch::autograd::Function<gate_node> {
  static std::vector<at::Tensor> forward(::torch::autograd::AutogradContext* context,
                                         const at::Tensor& logits, const gate_record& record,
                                         const torch_gate_options& options, const torch_routing& made) {
    context->save_for_backward({logits, made.experts, options.token_mask, options.noise_deviation});
    context->set_materialize_grads(false);
    keep(context, record);
    if (!options.router_losses) return {made.weights};
    return {made.weights, made.probability_sums, made.squared_log_sum_exp};
  }

  static std::vector<at::Tensor> backward(::torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& upstream) {
    refuse_second_order("torch_gate");
    const std::vector<at::Tensor> saved = context->get_saved_variables();
    const gate_record& record = kept<gate_record>(context);
    const at::Tensor &logits = saved[0], gradient = at::empty(logits.sizes(), logits.options());
    if (logits.size(0) == 0) return {gradient, {}, {}, {}};
    const bool has_slopes = upstream.size() > 1 && upstream[1].defined();
    const at::Tensor slopes = has_slopes ? upstream[1].contiguous() : at::Tensor();
    gate_backward_options options{.token_mask = gate_mask(saved[2]),
                                  .tokens_per_sequence = record.tokens_per_sequence,
                                  .random = record.random,
                                  .noise_deviation = gate_deviation(saved[3]),
                                  .executor = executor_of_torch};
    if (has_slopes)
      options.probability_slopes = exact_matrix<const double>({slopes, "torch_gate", "probability_sums"});
    if (upstream.size() > 2 && upstream[2].defined()) options.z_loss = upstream[2].item<double>();
    if (!std::isfinite(options.z_loss)) return {gradient.fill_(NAN), {}, {}, {}};
    input_matrix weights;
    if (upstream[0].defined()) weights = matrix_of({upstream[0], "torch_gate", "weights"});
    record.gate.backward(matrix_of({logits, "torch_gate", "logits"}),
                         routing<float>{expert_matrix(saved[1]), {}}, weights,
                         matrix_of({gradient, "torch_gate", "gradient"}), options);
    return {gradient, {}, {}, {}};
  }
};

/// The gate's call with memory for all that is counted.
inline void count_routing(const torch_gate_options& options, std::size_t experts, torch_routing& to,
                          gate_options& how, const std::function<void()>& run) {
  const auto count = static_cast<std::int64_t>(options.sequences), n = static_cast<std::int64_t>(experts);
  const auto integers = at::TensorOptions(at::kLong), reals = at::TensorOptions(at::kDouble);
  to.assignments = at::zeros({count, n}, integers), to.counted = at::zeros({count}, integers);
  to.probability_sums = at::zeros({count, n}, reals);
  const at::Tensor assignments = at::zeros({n}, integers), sums = at::zeros({n}, reals);
  const char* const name = "torch_gate";
  const sequence_statistics each{exact_matrix<std::int64_t>({to.assignments, name, "assignments"}),
                                 exact_matrix<double>({to.probability_sums, name, "probability_sums"}),
                                 vector_of<std::int64_t>({to.counted, name, "counted"})};
  router_statistics all{.assignments = vector_of<std::int64_t>({assignments, name, "assignments"}),
                        .probability_sums = vector_of<double>({sums, name, "sums"})};
  how.statistics = &all, how.sequences = &each;
  run();
  to.squared_log_sum_exp = at::full({1}, all.squared_log_sum_exp, reals);
  to.bad_rows = all.bad_rows;
  if (options.statistics == nullptr) return;
  if (options.statistics->probability_sums.empty()) all.probability_sums = {}, all.squared_log_sum_exp = 0;
  add_statistics(*options.statistics, all);
}

}  // namespace detail

/// A top-k gate on tensors; libtorch differentiates its weights in the logits, and with `router_losses` also
/// what the router's losses are made of.
///
/// logits [tokens, experts] of Float, Double, BFloat16 or Half and any strides. The sums of probabilities and
/// of squared log Σ exp have gradients of any loss, the library's by torch_loss(switch_loss{...}, routing) or
/// your own: one backward() turns those of weights, probabilities and squares into that of the logits, in one
/// pass; those that nothing depends on cost nothing. Runs on libtorch's threads. Until backward() the graph
/// holds logits, experts and the tensors of `options`; logits modified in place by then are libtorch's error.
/// The gate's expert_bias is read in this call only. Throws: what the gate throws; layout_error and
/// shape_error for tensors that are something else. backward() with create_graph throws parameter_error.
inline torch_routing torch_gate(const top_k_gate& gate, const at::Tensor& logits,
                                const torch_gate_options& options = {}) {
  const detail::input_matrix from = detail::matrix_of({logits, "torch_gate", "logits"});
  gate_options how{.token_mask = detail::gate_mask(options.token_mask),
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
    const auto run = [&] {
      detail::with_typed_matrix(from, [&]<class T>(const matrix_view<const T>& typed) {
        using weight = std::conditional_t<std::is_same_v<T, double>, double, float>;
        const auto experts = detail::expert_matrix(made.experts);
        gate(typed,
             routing<weight>{experts, {made.weights.data_ptr<weight>(), experts.rows(), experts.columns()}},
             how);
      });
    };
    options.router_losses ? detail::count_routing(options, from.columns, made, how, run) : run();
  }
  if (!detail::requires_gradient({logits})) return made;
  detail::gate_record record{gate, options.random, options.sequences > 1 ? from.rows / options.sequences : 0};
  record.gate.expert_bias = {};
  const std::vector<at::Tensor> outputs = detail::gate_node::apply(logits, record, options, made);
  made.weights = outputs[0];
  if (options.router_losses) made.probability_sums = outputs[1], made.squared_log_sum_exp = outputs[2];
  return made;
}

}  // namespace distill::inline DISTILL_ABI
