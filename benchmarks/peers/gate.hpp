#pragma once

#include "peers/contender.hpp"

/// Routers of a mixture of experts: the logits are the student's, the output [tokens, experts] becomes the
/// map of weights, or the gradient of the logits.
namespace benchmarks {

struct gate_task {
  std::size_t k;
  bool deepseek =
      false;  ///< sigmoid with a bias, the best 4 of 8 groups, instead of softmax; weights normalised
  bool equal = false;  ///< all logits are 0: a router as it is initialised
};

/// Entry e of the bias of a DeepSeek gate.
inline float bias_of(std::size_t e) { return 0.01F * static_cast<float>(static_cast<int>(e * 7 % 13) - 6); }

/// The training step compared: Σ of weight times teacher's logit, plus the Switch loss with this coefficient,
/// plus the mean of the squared log-sum-exp with this one.
inline constexpr double switch_coefficient = 0.01;
inline constexpr double z_coefficient = 0.001;

oracle_rule gate_weights(const gate_task& what);
oracle_rule gate_gradient(const gate_task& what, const problem<float>& task);

/// softmax, topk, normalisation; or sigmoid, bias, group sums, mask, topk, gather, normalisation.
peer_list<float> torch_gate(const gate_task& what);
/// The same forward and the losses, with the gradient by autograd.
peer_list<float> torch_gate_training(const gate_task& what);
/// As serving engines write it: scores into a buffer, pairs, std::partial_sort, normalisation.
peer_list<float> partial_sort_gate(const gate_task& what);

}  // namespace benchmarks
