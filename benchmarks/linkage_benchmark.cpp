#include <distill/loss/forward_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"

// Built twice: against the compiled library and header-only for this machine's instruction set.
namespace {

using namespace benchmarks;

#if defined(DISTILL_HEADER_ONLY)
constexpr const char* linkage = "header_only";
#else
constexpr const char* linkage = "compiled";
#endif

void fill(suite& contenders) {
  const peer_list<float> ours{
      distill_loss<float>(linkage, distill::forward_kl{.temperature = 2}, oracle::forward_kl(2))};
  for (const shape& extent : {shape{4096, 10}, shape{8192, 128}, shape{1024, 1000}, shape{256, 32000}}) {
    contenders.add({.task = "linkage", .extent = extent}, ours);
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
