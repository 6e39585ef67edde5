// dispatch and combine have the values and the gradients of the same thing written in libtorch's operations.

#include <ATen/ATen.h>

#include <cstdio>

#include "expert_exchange.hpp"

namespace {

struct exchange {
  at::Tensor tokens = at::randn({7, 5}).requires_grad_(true);
  at::Tensor weights = at::rand({7, 2}).requires_grad_(true);
  at::Tensor scales = at::randn({3});  // what each expert multiplies by
  at::Tensor experts = at::tensor({2, 0, 0, 1, 1, 2, 0, 2, 2, 1, 0, 1, 1, 0}, at::kInt).view({7, 2});
  at::Tensor upstream = at::randn({7, 5});

  at::Tensor by_library() const {
    const torch_transformer::exchange_plan plan = torch_transformer::exchange_plan::of(experts, 3);
    const at::Tensor rows = torch_transformer::dispatch(tokens, plan);
    std::vector<at::Tensor> answers;
    for (std::int64_t e = 0; e < 3; ++e)
      answers.push_back(rows.narrow(0, plan.begin_of(e), plan.count_of(e)).square() * scales[e]);
    return torch_transformer::combine(at::cat(answers), weights, plan);
  }
  at::Tensor by_torch() const {
    const at::Tensor scale = scales.index_select(0, experts.flatten().to(at::kLong)).view({7, 2, 1});
    return (tokens.square().unsqueeze(1) * scale * weights.unsqueeze(2)).sum(1);
  }
};

bool is_close(const char* what, const at::Tensor& a, const at::Tensor& b) {
  const double error = (a - b).abs().max().item<double>();
  std::printf("%s: largest difference %g\n", what, error);
  return error < 1e-5;
}

}  // namespace

int main() {
  at::manual_seed(1);
  const exchange one;
  const at::Tensor made = one.by_library(), expected = one.by_torch();
  made.backward(one.upstream);
  const at::Tensor tokens = one.tokens.grad().clone(), weights = one.weights.grad().clone();
  one.tokens.mutable_grad().zero_();
  one.weights.mutable_grad().zero_();
  expected.backward(one.upstream);
  const bool holds = is_close("values", made, expected) & is_close("tokens", tokens, one.tokens.grad()) &
                     is_close("weights", weights, one.weights.grad());
  return holds ? 0 : 1;
}
