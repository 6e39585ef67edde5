#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"

// Every loss next to forward KL.
namespace {

using namespace benchmarks;

contender cross_entropy(problem<float>& task, int threads) {
  return bind_distill(task, threads, oracle::cross_entropy(), distill::cross_entropy{.labels = task.labels});
}

peer_list<float> losses() {
  return {
      distill_loss<float>("forward_kl", distill::forward_kl{.temperature = 2}, oracle::forward_kl(2)),
      distill_loss<float>("soft_cross_entropy", distill::soft_cross_entropy{.temperature = 2},
                          oracle::soft_cross_entropy(2)),
      distill_loss<float>("reverse_kl", distill::reverse_kl{.temperature = 2}, oracle::reverse_kl(2)),
      distill_loss<float>("jensen_shannon", distill::jensen_shannon{.temperature = 2, .beta = 0.5},
                          oracle::jensen_shannon(2, 0.5L)),
      distill_loss<float>("skewed_forward_kl", distill::skewed_forward_kl{.temperature = 2, .alpha = 0.1},
                          oracle::skewed_forward_kl(2, 0.1L)),
      distill_loss<float>("skewed_reverse_kl", distill::skewed_reverse_kl{.temperature = 2, .alpha = 0.1},
                          oracle::skewed_reverse_kl(2, 0.1L)),
      distill_loss<float>("total_variation", distill::total_variation{.temperature = 2},
                          oracle::total_variation(2)),
      distill_loss<float>("alpha_beta", distill::alpha_beta{.temperature = 2, .alpha = 0.5, .beta = 0.5},
                          oracle::alpha_beta(2, 0.5L, 0.5L)),
      distill_loss<float>("logit_mse", distill::logit_mse{}, oracle::logit_mse()),
      {"cross_entropy", cross_entropy},
  };
}

void fill(suite& contenders) {
  for (const shape& extent : {shape{1024, 1000}, shape{256, 32000}}) {
    contenders.add({.task = "divergences", .extent = extent}, losses());
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
