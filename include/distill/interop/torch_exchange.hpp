#pragma once

#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_gradient.hpp>
#include <distill/interop/torch_view.hpp>
#include <distill/moe/expert_order.hpp>
#include <distill/moe/token_exchange.hpp>

namespace distill::inline DISTILL_ABI {

/// A routing sorted by expert, as tensors; see expert_order.
struct torch_expert_order {
  at::Tensor offsets;  ///< [experts + 1] Long: expert e has the rows [offsets[e], offsets[e + 1])
  at::Tensor tokens;   ///< [rows] Int: the token of each row; -1: padding
  at::Tensor rows;     ///< [tokens, k] Long: the row of each assignment; -1: none

  /// How many rows each expert has: `torch_dispatch_tokens(x, order).split_with_sizes(order.sizes())`.
  std::vector<std::int64_t> sizes() const {
    const vector_view<const std::int64_t> from =
        detail::vector_of<const std::int64_t>({offsets, "torch_expert_order::sizes", "offsets"});
    std::vector<std::int64_t> result;
    for (std::size_t e = 1; e < from.size(); ++e) result.push_back(from[e] - from[e - 1]);
    return result;
  }
};

namespace detail {

inline expert_order order_view(const char* function, const torch_expert_order& order) {
  return {.offsets = vector_of<std::int64_t>({order.offsets, function, "order.offsets"}),
          .tokens = vector_of<std::int32_t>({order.tokens, function, "order.tokens"}),
          .rows = exact_matrix<std::int64_t>({order.rows, function, "order.rows"})};
}

inline void save_with_order(::torch::autograd::AutogradContext* context, std::vector<at::Tensor> tensors,
                            const torch_expert_order& order) {
  tensors.insert(tensors.end(), {order.offsets, order.tokens, order.rows});
  context->save_for_backward(std::move(tensors));
}
inline torch_expert_order saved_order(const std::vector<at::Tensor>& saved) {
  const std::size_t n = saved.size();
  return {saved[n - 3], saved[n - 2], saved[n - 1]};
}

struct dispatch_node : ::torch::autograd::Function<dispatch_node> {
  static at::Tensor forward(::torch::autograd::AutogradContext* context, const at::Tensor& tokens,
                            const torch_expert_order& order, bool is_recorded) {
    const char* const name = "torch_dispatch_tokens";
    const input_matrix from = matrix_of({tokens, name, "tokens"});
    const expert_order view = order_view(name, order);
    const at::Tensor rows = at::empty({order.tokens.size(0), tokens.size(1)}, tokens.options());
    dispatch_tokens(from, view, matrix_of({rows, name, "rows"}), size_of(from.type),
                    {.executor = executor_of_torch});
    if (is_recorded) save_with_order(context, {}, order);
    return rows;
  }

  static std::vector<at::Tensor> backward(::torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& upstream) {
    const char* const name = "torch_dispatch_tokens";
    refuse_second_order(name);
    const torch_expert_order order = saved_order(context->get_saved_variables());
    const at::Tensor gradient = at::empty({order.rows.size(0), upstream[0].size(1)}, upstream[0].options());
    dispatch_tokens_backward(matrix_of({upstream[0], name, "upstream"}), order_view(name, order),
                             matrix_of({gradient, name, "gradient"}), {.executor = executor_of_torch});
    return {gradient, {}, {}};
  }
};

struct combine_node : ::torch::autograd::Function<combine_node> {
  static at::Tensor forward(::torch::autograd::AutogradContext* context, const at::Tensor& expert_rows,
                            const at::Tensor& weights, const torch_expert_order& order, bool is_recorded) {
    const char* const name = "torch_combine_tokens";
    const input_matrix rows = matrix_of({expert_rows, name, "expert_rows"}),
                       factors = matrix_of({weights, name, "weights"});
    const expert_order view = order_view(name, order);
    const at::Tensor tokens = at::empty({order.rows.size(0), expert_rows.size(1)}, expert_rows.options());
    distill::combine_tokens(rows, factors, view, matrix_of({tokens, name, "tokens"}),
                            {.executor = executor_of_torch});
    if (is_recorded) save_with_order(context, {expert_rows, weights}, order);
    return tokens;
  }

  static std::vector<at::Tensor> backward(::torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& upstream) {
    const char* const name = "torch_combine_tokens";
    refuse_second_order(name);
    const std::vector<at::Tensor> saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &weights = saved[1];
    at::Tensor row_gradient, weight_gradient;
    output_matrix to_rows, to_weights;
    if (context->needs_input_grad(0)) {
      row_gradient = at::empty(rows.sizes(), rows.options());
      to_rows = matrix_of({row_gradient, name, "row_gradient"});
    }
    if (context->needs_input_grad(1)) {
      weight_gradient = at::empty(weights.sizes(), weights.options());
      to_weights = matrix_of({weight_gradient, name, "weight_gradient"});
    }
    distill::combine_tokens_backward(
        matrix_of({upstream[0], name, "upstream"}), matrix_of({rows, name, "expert_rows"}),
        matrix_of({weights, name, "weights"}), order_view(name, saved_order(saved)), to_rows, to_weights,
        {.executor = executor_of_torch});
    return {row_gradient, weight_gradient, {}, {}};
  }
};

}  // namespace detail

/// Sorts a routing by expert: order_by_expert on tensors. experts [tokens, k] Int, as torch_gate gives them
/// or a capacity has left them; not differentiable. Throws: what order_by_expert throws; layout_error and
/// shape_error for tensors that are something else.
inline torch_expert_order torch_order_by_expert(const at::Tensor& experts, std::size_t expert_count,
                                                const expert_order_options& options = {}) {
  const at::NoGradGuard none;
  const auto from = detail::exact_matrix<const std::int32_t>({experts, "torch_order_by_expert", "experts"});
  const std::size_t most = most_expert_rows(from.rows(), from.columns(), expert_count, options);
  torch_expert_order order{at::empty({static_cast<std::int64_t>(expert_count) + 1}, at::kLong),
                           at::empty({static_cast<std::int64_t>(most)}, at::kInt),
                           at::empty(experts.sizes(), at::kLong)};
  expert_order_options how = options;
  how.executor = detail::torch_executor_or(options.executor);
  const std::size_t rows = order_by_expert(from, detail::order_view("torch_order_by_expert", order), how);
  order.tokens = order.tokens.narrow(0, 0, static_cast<std::int64_t>(rows));
  return order;
}

/// Every token's row to each of its experts: dispatch_tokens on tensors, differentiable in the tokens.
///
/// tokens [tokens, width] of Float, Double, BFloat16 or Half and any strides; returns [rows, width], the rows
/// of an expert together (order.sizes()), padding 0. Until backward() the graph holds the order, not the
/// tokens. Runs on libtorch's threads. Throws: what dispatch_tokens throws; layout_error and shape_error for
/// tensors that are something else. backward() with create_graph throws parameter_error.
inline at::Tensor torch_dispatch_tokens(const at::Tensor& tokens, const torch_expert_order& order) {
  detail::matrix_of({tokens, "torch_dispatch_tokens", "tokens"});
  return detail::dispatch_node::apply(tokens, order, detail::requires_gradient({tokens}));
}

/// The experts' answers back to their tokens: combine_tokens on tensors, differentiable in the rows and in
/// the weights.
///
/// expert_rows [rows, width] of Float, Double, BFloat16 or Half, weights [tokens, k] Float or Double, any
/// strides; returns [tokens, width] of the rows' type. Until backward() the graph holds rows, weights and
/// order; any of them modified in place by then is libtorch's error. Runs on libtorch's threads. Throws: what
/// combine_tokens throws; layout_error and shape_error for tensors that are something else. backward() with
/// create_graph throws parameter_error.
inline at::Tensor torch_combine_tokens(const at::Tensor& expert_rows, const at::Tensor& weights,
                                       const torch_expert_order& order) {
  detail::matrix_of({expert_rows, "torch_combine_tokens", "expert_rows"});
  detail::matrix_of({weights, "torch_combine_tokens", "weights"});
  return detail::combine_node::apply(expert_rows, weights, order,
                                     detail::requires_gradient({expert_rows, weights}));
}

}  // namespace distill::inline DISTILL_ABI
