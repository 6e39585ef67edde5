#include "losses.hpp"

#include <distill/alignment/hidden_mse.hpp>
#include <distill/interop/torch.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>

torch::Tensor plain_loss(const batch& b) {
  namespace functional = torch::nn::functional;
  const auto soft = functional::kl_div(torch::log_softmax(b.student_logits / temperature, 1),
                                       torch::softmax(b.teacher_logits / temperature, 1),
                                       functional::KLDivFuncOptions().reduction(torch::kBatchMean)) *
                    (temperature * temperature);
  auto loss = soft_weight * soft + hard_weight * functional::cross_entropy(b.student_logits, b.labels);
  if (b.student_states.defined())
    loss = loss + states_weight * functional::mse_loss(b.student_states, b.teacher_states);
  return loss;
}

torch::Tensor distilled_loss(const batch& b) { return kept_loss(b, nullptr); }

torch::Tensor kept_loss(const batch& b, kept_memory* kept) {
  const auto objective = soft_weight * distill::forward_kl{.temperature = temperature} +
                         hard_weight * distill::cross_entropy{.labels = distill::torch_labels(b.labels)};
  auto loss = distill::torch_loss(objective, b.student_logits, b.teacher_logits, {},
                                  kept != nullptr ? &kept->logits : nullptr);
  if (b.student_states.defined())
    loss =
        loss + states_weight * distill::torch_loss(distill::hidden_mse{}, b.student_states, b.teacher_states,
                                                   {.reduction = distill::reduction::mean},
                                                   kept != nullptr ? &kept->states : nullptr);
  return loss;
}
