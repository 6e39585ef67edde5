#pragma once

#include <torch/torch.h>

#include <distill/interop/torch_memory.hpp>
#include <functional>

/// The same training loss twice: KL to the teacher at a temperature, cross-entropy with labels, and the
/// squared distance of hidden states.
struct batch {
  torch::Tensor student_logits, teacher_logits;  ///< [rows, classes]
  torch::Tensor student_states, teacher_states;  ///< [rows, width]; undefined: no term for them
  torch::Tensor labels;                          ///< [rows]
};

constexpr double temperature = 4, soft_weight = 0.7, hard_weight = 0.3, states_weight = 0.1;

using training_loss = std::function<torch::Tensor(const batch&)>;

/// Written in libtorch's operations.
torch::Tensor plain_loss(const batch& b);
/// Written with this library.
torch::Tensor distilled_loss(const batch& b);

/// What a training loop keeps between steps: one memory for each loss of a step.
struct kept_memory {
  distill::torch_memory logits, states;
};
/// The same with its gradients in kept memory.
torch::Tensor kept_loss(const batch& b, kept_memory* kept);
