#include "feed_forward.hpp"

#include <ATen/ATen.h>

#include <distill/interop/torch_gate.hpp>
#include <distill/moe/switch_loss.hpp>

#include "expert_exchange.hpp"
#include "initial_weights.hpp"

namespace torch_transformer {
namespace {

constexpr double balance_coefficient = 0.01;

/// Switch loss of one block: the library's slopes, which do not depend on the probabilities, times these.
at::Tensor balance_loss(const at::Tensor& logits, const distill::router_statistics& statistics,
                        std::int64_t k) {
  const at::Tensor slopes = at::empty({logits.size(1)}, at::kDouble);
  distill::switch_loss{.coefficient = balance_coefficient, .experts_per_token = k}(
      statistics, {slopes.data_ptr<double>(), static_cast<std::size_t>(slopes.numel())});
  return (logits.softmax(1).sum(0) * slopes.to(logits.scalar_type())).sum();
}

}  // namespace

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

at::Tensor feed_forward::expert(std::int64_t number, const at::Tensor& tokens) const {
  const auto e = static_cast<std::size_t>(number);
  return at::addmm(down_bias_[e], at::gelu(at::addmm(up_bias_[e], tokens, up_[e])), down_[e]);
}

at::Tensor feed_forward::forward(const at::Tensor& tokens, router_record& record) const {
  if (experts_ == 1) return expert(0, tokens);
  const auto count = static_cast<std::size_t>(experts_);
  std::vector<std::int64_t> picks(count);
  std::vector<double> probabilities(count);
  distill::router_statistics statistics{.assignments = picks, .probability_sums = probabilities};

  const at::Tensor logits = tokens.matmul(router_);
  const distill::torch_routing routing = distill::torch_gate(
      {.k = static_cast<std::size_t>(experts_per_token_)}, logits, {.statistics = &statistics});
  const exchange_plan plan = exchange_plan::of(routing.experts, experts_);
  const at::Tensor rows = dispatch(tokens, plan);
  std::vector<at::Tensor> answers;
  for (std::int64_t e = 0; e < experts_; ++e)
    if (plan.count_of(e) > 0)
      answers.push_back(expert(e, rows.narrow(0, plan.begin_of(e), plan.count_of(e))));
  const at::Tensor combined = combine(at::cat(answers), routing.weights, plan);

  const at::Tensor loss = balance_loss(logits, statistics, experts_per_token_);
  record.balance = record.balance.defined() ? record.balance + loss : loss;
  record.picks.push_back(std::move(picks));
  return combined;
}

}  // namespace torch_transformer
