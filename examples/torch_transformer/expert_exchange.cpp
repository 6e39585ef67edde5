#include "expert_exchange.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <distill/interop/torch_executor.hpp>
#include <distill/moe/token_exchange.hpp>

namespace torch_transformer {
namespace {

using context = torch::autograd::AutogradContext;
using tensors = std::vector<at::Tensor>;

constexpr distill::torch_executor on_torch_threads;

template <class T>
distill::matrix_view<T> matrix_of(const at::Tensor& x) {
  return {x.data_ptr<T>(), static_cast<std::size_t>(x.size(0)), static_cast<std::size_t>(x.size(1))};
}

struct dispatch_node : torch::autograd::Function<dispatch_node> {
  static at::Tensor forward(context* kept, const at::Tensor& tokens, const at::Tensor& offsets,
                            const at::Tensor& rows) {
    kept->save_for_backward({offsets, rows});
    const exchange_plan plan{offsets, rows};
    const at::Tensor input = tokens.contiguous(), result = at::empty({plan.row_count(), tokens.size(1)});
    distill::dispatch_tokens(matrix_of<float>(input), plan.order(), matrix_of<float>(result),
                             {.executor = on_torch_threads});
    return result;
  }
  static tensors backward(context* kept, const tensors& upstream) {
    const tensors saved = kept->get_saved_variables();
    const exchange_plan plan{saved[0], saved[1]};
    const at::Tensor slope = upstream[0].contiguous();
    const at::Tensor result = at::empty({plan.rows.size(0), slope.size(1)});
    distill::dispatch_tokens_backward(matrix_of<float>(slope), plan.order(), matrix_of<float>(result),
                                      {.executor = on_torch_threads});
    return {result, {}, {}};
  }
};

struct combine_node : torch::autograd::Function<combine_node> {
  static at::Tensor forward(context* kept, const at::Tensor& answers, const at::Tensor& weights,
                            const at::Tensor& offsets, const at::Tensor& rows) {
    kept->save_for_backward({answers, weights, offsets, rows});
    const at::Tensor result = at::empty({weights.size(0), answers.size(1)});
    distill::combine_tokens(matrix_of<float>(answers), matrix_of<float>(weights),
                            exchange_plan{offsets, rows}.order(), matrix_of<float>(result),
                            {.executor = on_torch_threads});
    return result;
  }
  static tensors backward(context* kept, const tensors& upstream) {
    const tensors saved = kept->get_saved_variables();
    const at::Tensor &answers = saved[0], &weights = saved[1], slope = upstream[0].contiguous();
    const at::Tensor answer_slope = at::empty_like(answers), weight_slope = at::empty_like(weights);
    distill::combine_tokens_backward(matrix_of<float>(slope), matrix_of<float>(answers),
                                     matrix_of<float>(weights), exchange_plan{saved[2], saved[3]}.order(),
                                     matrix_of<float>(answer_slope), matrix_of<float>(weight_slope),
                                     {.executor = on_torch_threads});
    return {answer_slope, weight_slope, {}, {}};
  }
};

}  // namespace

exchange_plan exchange_plan::of(const at::Tensor& experts, std::int64_t expert_count) {
  exchange_plan plan{at::empty({expert_count + 1}, at::kLong), at::empty(experts.sizes(), at::kLong)};
  distill::order_by_expert(matrix_of<std::int32_t>(experts), plan.order(), {.executor = on_torch_threads});
  return plan;
}

distill::expert_order exchange_plan::order() const {
  return {.offsets = {offsets.data_ptr<std::int64_t>(), static_cast<std::size_t>(offsets.numel())},
          .rows = matrix_of<std::int64_t>(rows)};
}

at::Tensor dispatch(const at::Tensor& tokens, const exchange_plan& plan) {
  return dispatch_node::apply(tokens, plan.offsets, plan.rows);
}

at::Tensor combine(const at::Tensor& rows, const at::Tensor& weights, const exchange_plan& plan) {
  return combine_node::apply(rows.contiguous(), weights, plan.offsets, plan.rows);
}

}  // namespace torch_transformer
