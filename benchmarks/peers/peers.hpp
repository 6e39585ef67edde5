#pragma once

#include "peers/contender.hpp"

/// The implementations the library is measured against. A list is empty where its package is not installed.
namespace benchmarks {

/// Value and gradient of forward KL at T = 2: autograd ("torch_eager") and the gradient written by hand.
peer_list<float> torch_forward_kl();
peer_list<bfloat16_bits> torch_forward_kl_bfloat16();
peer_list<float> torch_softmax();
/// Mean squared error and cosine distance of hidden states by autograd.
peer_list<float> torch_hidden_states();

/// Value and gradient by autograd, at T = 1: both parts of correlation, sorted probabilities, and the pairs
/// of the teacher's largest logits.
peer_list<float> torch_correlation();
peer_list<float> torch_universal_logit();
peer_list<float> torch_ranking(std::size_t classes);
/// Losses of single rows at T = 2, by autograd: torch_decoupled_kl (beta = 8), torch_standardized_kl,
/// torch_taid_kl (half way), torch_corrected_kl (threshold 0.2), torch_adaptive_kl (half of the mass).
peer_list<float> torch_row_losses();
/// Flow between the first channels and the others, `positions` rows to a sample, by autograd.
peer_list<float> torch_fsp(std::size_t positions, std::size_t first);

/// Student and teacher as two teachers: logarithms of their means at T = 2, the mean of their logits.
peer_list<float> torch_teacher_means();
/// One number for each row: log Σ exp and entropy of the student, KL(teacher || student), a weight of both
/// entropies.
peer_list<float> torch_teacher_measures();

/// Stable argsort and bincount of flat expert ids; index_select into a preallocated output; weights applied,
/// then index_add_; index_add_ alone; the gradient of combine.
peer_list<float> torch_expert_order();
peer_list<float> torch_dispatch();
peer_list<float> torch_combine();
peer_list<float> torch_index_add();
peer_list<float> torch_combine_backward();

/// Queries in the first half of the memory, keys in the second, each [heads, positions, width].
struct attention_extent {
  std::size_t heads, positions, width;
  double scale;
};
/// Value and gradient of forward KL at T = 1 by autograd: of maps, and from queries and keys by way of the
/// maps.
peer_list<float> torch_attention_maps();
peer_list<float> torch_attention_products(const attention_extent& of);

/// One softmax forward.
peer_list<float> onednn_softmax();
peer_list<float> onednn_log_softmax();
/// softmax(teacher), logsoftmax(student), logsoftmax backward: the gradient at T = 1, without the value.
peer_list<float> onednn_gradient_chain();

peer_list<float> eigen_forward_kl();
peer_list<float> xtensor_forward_kl();

/// Reads two arrays and writes one, with plain and with streaming (non-temporal) stores: the memory limit.
peer_list<float> memory_floor();
/// Reads two arrays.
peer_list<float> read_floor();

}  // namespace benchmarks
