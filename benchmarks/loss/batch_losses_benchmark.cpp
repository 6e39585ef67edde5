#include <distill/loss/correlation.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/ranking_hinge.hpp>
#include <distill/loss/ranking_logistic.hpp>
#include <distill/loss/universal_logit.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Losses that look across rows, vocabularies or ranks, against libtorch and next to forward KL.
namespace {

using namespace benchmarks;

void fill(suite& contenders) {
  constexpr std::size_t ranked = 20;
  const peer_list<float> ours{
      distill_loss<float>("forward_kl", distill::forward_kl{}, oracle::forward_kl(1)),
      distill_loss<float>("correlation", distill::correlation{}, oracle::correlation()),
      distill_loss<float>("universal_logit", distill::universal_logit{}, oracle::universal_logit()),
      distill_loss<float>("ranking_hinge", distill::ranking_hinge{.classes = ranked},
                          oracle::ranking_hinge(ranked)),
      distill_loss<float>("ranking_logistic", distill::ranking_logistic{.classes = ranked},
                          oracle::ranking_logistic(ranked))};
  for (const shape& extent : {shape{1024, 1000}, shape{128, 32000}}) {
    contenders.add({.task = "batch_losses", .extent = extent},
                   ours + torch_correlation() + torch_universal_logit() + torch_ranking(ranked));
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
