#include "distillation.hpp"

#include <ATen/ATen.h>
#include <torch/nn/utils/clip_grad.h>

#include <distill/alignment/attention_kl.hpp>
#include <distill/alignment/attention_mse.hpp>
#include <distill/alignment/hidden_mse.hpp>
#include <distill/interop/torch_adapter.hpp>
#include <distill/interop/torch_loss.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>

#include "loss_names.hpp"

namespace torch_transformer {
namespace {

outputs without_gradient(transformer& model, const at::Tensor& inputs) {
  const at::NoGradGuard guard;
  return model.forward(inputs);
}

/// Adds a term that may be missing.
void add(at::Tensor& sum, const at::Tensor& term) {
  if (term.defined()) sum = sum.defined() ? sum + term : term;
}

}  // namespace

// The whole of a distillation step.
double distillation::step(const batch& now, const distill::cursor& at, double learning_rate) {
  const outputs taught = teacher_ != nullptr ? without_gradient(*teacher_, now.inputs) : outputs();
  const outputs made = student_.forward(now.inputs);

  at::Tensor loss = logit_loss(made, taught, now.targets, at);
  add(loss, attention_loss(made, taught, at));
  add(loss, hidden_loss(made, taught, at));
  loss = at.loss_weight() * loss;
  add(loss, made.routers.balance);

  optimizer_->zero_grad();
  loss.backward();
  torch::nn::utils::clip_grad_norm_(student_.parameters(), 1);
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(learning_rate);
  optimizer_->step();
  return loss.item<double>();
}

at::Tensor distillation::logit_loss(const outputs& made, const outputs& taught, const at::Tensor& targets,
                                    const distill::cursor& at) {
  distill::objective objective;
  if (const double weight = at.objective_weight(loss_names::forward_kl); weight > 0)
    objective += weight * distill::forward_kl{.temperature = at.temperature()};
  if (const double weight = at.objective_weight(loss_names::cross_entropy); weight > 0)
    objective += weight * distill::cross_entropy{.labels = distill::torch_labels(targets)};
  if (objective.terms().empty()) return {};
  return distill::torch_loss(objective, made.logits, taught.logits, {}, &logit_memory_);
}

at::Tensor distillation::attention_loss(const outputs& made, const outputs& taught,
                                        const distill::cursor& at) const {
  const double kl_weight = at.objective_weight(loss_names::attention_kl);
  const double mse_weight = at.objective_weight(loss_names::attention_mse);
  const distill::attention_options options{.reduction = distill::reduction::batch_mean,
                                           .causal = student_.shape().predicts_next};
  at::Tensor sum;
  for (std::size_t layer = 0; kl_weight + mse_weight > 0 && layer < layers_->size(); ++layer) {
    const at::Tensor& student = made.attention_scores[layer];
    const at::Tensor& teacher = taught.attention_scores[(*layers_)[layer]];
    if (kl_weight > 0)
      add(sum,
          kl_weight * distill::torch_loss(distill::attention_kl{.heads = heads_}, student, teacher, options));
    if (mse_weight > 0)
      add(sum, mse_weight *
                   distill::torch_loss(distill::attention_mse{.heads = heads_}, student, teacher,
                                       {.reduction = distill::reduction::mean, .causal = options.causal}));
  }
  return sum.defined() ? sum / static_cast<double>(layers_->size()) : sum;
}

at::Tensor distillation::hidden_loss(const outputs& made, const outputs& taught,
                                     const distill::cursor& at) const {
  const double weight = at.objective_weight(loss_names::hidden_mse);
  at::Tensor sum;
  for (std::size_t layer = 0; weight > 0 && layer < layers_->size(); ++layer) {
    const at::Tensor adapted =
        distill::torch_adapter(adapter_, made.states[layer], adapter_parameters_[layer]);
    // Normalised, so that a weight means the same in every layer.
    const at::Tensor& teacher = taught.states[(*layers_)[layer]];
    add(sum, distill::torch_loss(distill::hidden_mse{}, adapted, at::layer_norm(teacher, {teacher.size(1)}),
                                 {.reduction = distill::reduction::mean}));
  }
  return sum.defined() ? weight * sum / static_cast<double>(layers_->size()) : sum;
}

distillation::distillation(transformer& student, transformer* teacher, std::uint64_t seed)
    : student_(student), teacher_(teacher) {
  std::vector<at::Tensor> trained = student.parameters();
  if (teacher != nullptr) {
    const transformer_shape &from = teacher->shape(), &to = student.shape();
    layers_ = distill::layer_map::uniform(static_cast<std::size_t>(to.layers),
                                          static_cast<std::size_t>(from.layers));
    if (from.heads != to.heads) heads_ = distill::head_map::mean();
    adapter_ = {.student_width = static_cast<std::size_t>(to.width),
                .teacher_width = static_cast<std::size_t>(from.width)};
    for (std::size_t layer = 0; layer < layers_->size(); ++layer)
      adapter_parameters_.push_back(distill::torch_adapter_parameters(adapter_, {.seed = seed + layer}));
    trained.insert(trained.end(), adapter_parameters_.begin(), adapter_parameters_.end());
  }
  optimizer_.emplace(trained, torch::optim::AdamWOptions().betas({0.9, 0.98}).weight_decay(0.01));
}

}  // namespace torch_transformer
