#include <distill/loss/forward_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// The value of temperature KL without its gradient, against reading both inputs.
namespace {

using namespace benchmarks;

void fill(suite& contenders) {
  const distill::forward_kl loss{.temperature = 2};
  const peer_list<float> ours{distill_value<float>("value", loss, oracle::forward_kl(2)),
                              distill_loss<float>("value_and_gradient", loss, oracle::forward_kl(2))};
  const auto everybody = with_threads(ours + read_floor(), {1, 2});
  for (const shape& extent : {shape{1024, 1000}, shape{256, 32000}, shape{64, 128256}, shape{32, 151936}}) {
    contenders.add({.task = "value_only", .extent = extent}, everybody);
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
