#pragma once

#include <distill/version.hpp>

namespace distill::inline DISTILL_ABI {

/// How a router's logits z become scores s.
enum class gate_scoring {
  softmax_then_top_k,  ///< s = softmax(z) over all experts
  top_k_then_softmax,  ///< chosen by z; weights are the softmax over the chosen experts
  sigmoid,             ///< s = 1 / (1 + exp(-z))
  sqrt_softplus        ///< s = sqrt(log(1 + exp(z)))
};

/// What a group of experts is worth where experts are chosen from the best groups only. It is made of what
/// experts are chosen by: scores with their bias; logits for top_k_then_softmax.
enum class group_scoring {
  maximum,        ///< the largest (DeepSeek-V2)
  two_largest,    ///< the sum of the two largest (DeepSeek-V3); of one, where a group is one expert
  share_of_top_k  ///< the sum of the k / kept_groups largest (Megatron, Transformer Engine)
};

}  // namespace distill::inline DISTILL_ABI
