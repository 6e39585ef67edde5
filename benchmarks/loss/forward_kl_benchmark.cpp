#include <distill/loss/forward_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Temperature KL, value and gradient, against everything else that is installed.
namespace {

using namespace benchmarks;

peer_list<float> ours() {
  return {distill_loss<float>("distill", distill::forward_kl{.temperature = 2}, oracle::forward_kl(2))};
}

peer_list<float> threaded_peers() {
  return ours() + torch_forward_kl() + onednn_softmax() + onednn_gradient_chain() + memory_floor();
}

void fill(suite& contenders) {
  const auto everybody = with_threads(threaded_peers(), {1, 2}) + eigen_forward_kl() + xtensor_forward_kl();
  for (const shape& extent : {shape{4096, 10}, shape{8192, 128}, shape{1024, 1000}, shape{256, 32000},
                              shape{64, 128256}, shape{32, 151936}}) {
    contenders.add({.task = "forward_kl", .extent = extent, .checked_elements = check_everything}, everybody);
  }
  const shape columns{4096, 10, storage_order::columns};
  contenders.add({.task = "forward_kl", .extent = columns}, ours() + torch_forward_kl() + eigen_forward_kl());
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
