#include <distill/loss/forward_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Temperature KL with bfloat16 logits and gradient.
namespace {

using namespace benchmarks;

void fill(suite& contenders) {
  const peer_list<bfloat16_bits> ours{
      distill_loss<bfloat16_bits>("distill", distill::forward_kl{.temperature = 2}, oracle::forward_kl(2))};
  const auto everybody = with_threads(ours + torch_forward_kl_bfloat16(), {1, 2});
  for (const shape& extent : {shape{8192, 128}, shape{256, 32000}, shape{64, 128256}}) {
    contenders.add({.task = "forward_kl_bfloat16",
                    .extent = extent,
                    .bounds = {0.05, 0.05},
                    .near_equal_bounds = unbounded,
                    .checked_elements = check_everything},
                   everybody);
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
