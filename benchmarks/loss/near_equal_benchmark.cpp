#include <distill/loss/forward_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"

// What it costs to keep the digits where teacher and student nearly agree.
namespace {

using namespace benchmarks;

peer_list<float> named(const std::string& name) {
  return {distill_loss<float>(name, distill::forward_kl{.temperature = 2}, oracle::forward_kl(2))};
}

void fill(suite& contenders) {
  for (const shape& extent : {shape{4096, 10}, shape{8192, 128}, shape{1024, 1000}, shape{256, 32000}}) {
    contenders.add({.task = "near_equal", .extent = extent}, named("independent_rows"));
    contenders.add({.task = "near_equal", .extent = extent, .data = data_set::near_equal},
                   named("near_equal_rows"));
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
