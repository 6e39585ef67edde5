#include "peers/gate.hpp"
#include "peers/peers.hpp"

// CMake defines a WITH_ macro for every peer whose own file is built.
namespace benchmarks {

#ifndef WITH_TORCH
peer_list<float> torch_forward_kl() { return {}; }
peer_list<bfloat16_bits> torch_forward_kl_bfloat16() { return {}; }
peer_list<float> torch_softmax() { return {}; }
peer_list<float> torch_attention_maps() { return {}; }
peer_list<float> torch_attention_products(const attention_extent&) { return {}; }
peer_list<float> torch_hidden_states() { return {}; }
peer_list<float> torch_correlation() { return {}; }
peer_list<float> torch_universal_logit() { return {}; }
peer_list<float> torch_ranking(std::size_t) { return {}; }
peer_list<float> torch_row_losses() { return {}; }
peer_list<float> torch_fsp(std::size_t, std::size_t) { return {}; }
peer_list<float> torch_teacher_means() { return {}; }
peer_list<float> torch_teacher_measures() { return {}; }
peer_list<float> torch_expert_order() { return {}; }
peer_list<float> torch_dispatch() { return {}; }
peer_list<float> torch_combine() { return {}; }
peer_list<float> torch_index_add() { return {}; }
peer_list<float> torch_combine_backward() { return {}; }
peer_list<float> torch_gate(const gate_task&) { return {}; }
peer_list<float> torch_gate_training(const gate_task&) { return {}; }
#endif

#ifndef WITH_ONEDNN
peer_list<float> onednn_softmax() { return {}; }
peer_list<float> onednn_log_softmax() { return {}; }
peer_list<float> onednn_gradient_chain() { return {}; }
#endif

#ifndef WITH_EIGEN
peer_list<float> eigen_forward_kl() { return {}; }
#endif

#ifndef WITH_XTENSOR
peer_list<float> xtensor_forward_kl() { return {}; }
#endif

}  // namespace benchmarks
