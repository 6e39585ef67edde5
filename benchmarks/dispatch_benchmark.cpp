#include <distill/dispatch.hpp>
#include <distill/loss/forward_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"

// The same kernel compiled for every SIMD target that runs here, where memory does not limit it.
namespace {

using namespace benchmarks;

/// Forcing a target resolves every kernel again, so it is done only when the contender changes.
void use_target(const std::string& name) {
  static std::string current;
  if (current == name) return;
  distill::force_target(name);
  current = name;
}

peer<float> on_target(const std::string& name) {
  const auto loss = [name](auto student, auto teacher, auto gradient, const distill::row_options& rows) {
    use_target(name);
    return distill::forward_kl{.temperature = 2}(student, teacher, gradient, rows);
  };
  return distill_loss<float>(name, loss, oracle::forward_kl(2));
}

void fill(suite& contenders) {
  peer_list<float> targets;
  for (const auto& name : distill::available_targets()) targets.push_back(on_target(name));
  for (const shape& extent : {shape{4096, 10}, shape{8192, 128}, shape{1024, 1000}}) {
    contenders.add({.task = "dispatch", .extent = extent}, targets);
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
