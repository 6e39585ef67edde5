#include "feed_forward.hpp"

#include <ATen/ATen.h>

#include <distill/interop/torch_exchange.hpp>
#include <distill/interop/torch_gate.hpp>
#include <distill/interop/torch_router_loss.hpp>

#include "initial_weights.hpp"

namespace torch_transformer {

feed_forward::feed_forward(const transformer_shape& shape)
    : experts_(shape.experts), experts_per_token_(shape.experts_per_token) {
  if (experts_ > 1) router_ = register_parameter("router", initial_matrix(shape.width, experts_));
  for (std::int64_t e = 0; e < experts_; ++e) {
    const std::string name = "expert" + std::to_string(e);
    up_.push_back(register_parameter(name + "_up", initial_matrix(shape.width, shape.hidden)));
    up_bias_.push_back(register_parameter(name + "_up_bias", at::zeros({shape.hidden})));
    down_.push_back(register_parameter(name + "_down", initial_matrix(shape.hidden, shape.width)));
    down_bias_.push_back(register_parameter(name + "_down_bias", at::zeros({shape.width})));
  }
}

at::Tensor feed_forward::expert(std::size_t e, const at::Tensor& tokens) const {
  return at::addmm(down_bias_[e], at::gelu(at::addmm(up_bias_[e], tokens, up_[e])), down_[e]);
}

at::Tensor feed_forward::forward(const at::Tensor& tokens, router_record& record) const {
  if (experts_ == 1) return expert(0, tokens);
  const distill::torch_routing to = distill::torch_gate({.k = static_cast<std::size_t>(experts_per_token_)},
                                                        tokens.matmul(router_), {.router_losses = true});
  const auto order = distill::torch_order_by_expert(to.experts, static_cast<std::size_t>(experts_));
  std::vector<at::Tensor> rows =
      distill::torch_dispatch_tokens(tokens, order).split_with_sizes(order.sizes());
  for (std::size_t e = 0; e < rows.size(); ++e) rows[e] = expert(e, rows[e]);
  const at::Tensor combined = distill::torch_combine_tokens(at::cat(rows), to.weights, order);

  const at::Tensor loss = distill::torch_loss(distill::switch_loss{.coefficient = 0.01}, to);
  record.balance = record.balance.defined() ? record.balance + loss : loss;
  record.picks.push_back(order.sizes());
  return combined;
}

}  // namespace torch_transformer
