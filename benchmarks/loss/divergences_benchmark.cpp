#include <distill/loss/adaptive_kl.hpp>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/corrected_kl.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/decoupled_kl.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/standardized_kl.hpp>
#include <distill/loss/taid_kl.hpp>
#include <distill/loss/total_variation.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Every loss next to forward KL, and those that libtorch has no function for against its operations.
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

contender decoupled_kl(problem<float>& task, int threads) {
  return bind_distill(task, threads, oracle::decoupled_kl(2, 1, 8),
                      distill::decoupled_kl{.labels = task.labels, .beta = 8, .temperature = 2});
}
contender corrected_kl(problem<float>& task, int threads) {
  return bind_distill(task, threads, oracle::corrected_kl(2, 0.2L),
                      distill::corrected_kl{.labels = task.labels, .threshold = 0.2, .temperature = 2});
}

peer_list<float> row_losses() {
  return {
      {"decoupled_kl", decoupled_kl},
      {"corrected_kl", corrected_kl},
      distill_loss<float>("standardized_kl", distill::standardized_kl{.temperature = 2},
                          oracle::standardized_kl(2)),
      distill_loss<float>("taid_kl", distill::taid_kl{.temperature = 2, .interpolation = 0.5},
                          oracle::taid_kl(2, 0.5L)),
      distill_loss<float>("adaptive_kl", distill::adaptive_kl{.temperature = 2},
                          oracle::adaptive_kl(2, 0.5L)),
      distill_loss<float>("adaptive_kl_95", distill::adaptive_kl{.temperature = 2, .head_mass = 0.95},
                          oracle::adaptive_kl(2, 0.95L)),
  };
}

void fill(suite& contenders) {
  for (const shape& extent : {shape{1024, 1000}, shape{256, 32000}}) {
    contenders.add({.task = "divergences", .extent = extent}, losses() + row_losses() + torch_row_losses());
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
