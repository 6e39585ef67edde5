#include <distill/numeric/log_softmax.hpp>
#include <distill/numeric/log_sum_exp.hpp>
#include <distill/numeric/softmax.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// softmax, log_softmax and log_sum_exp of one matrix.
namespace {

using namespace benchmarks;

/// `use(logits, task, options)` fills the problem's output.
template <class Use>
peer<float> numeric(std::string name, oracle_rule rule, Use use) {
  return {std::move(name), [=](problem<float>& task, int) -> contender {
            const auto workspace = std::make_shared<distill::workspace>();
            const auto logits = view_of(task.student, task.extent);
            const auto call = [=, &task] {
              use(logits, task, distill::softmax_options{.workspace = workspace.get()});
              return 0.0;
            };
            return {call, rule, {}};
          }};
}

peer_list<float> ours() {
  const auto softmax = [](auto logits, problem<float>& task, const distill::softmax_options& options) {
    distill::softmax(logits, view_of(task.output, task.extent), options);
  };
  const auto log_softmax = [](auto logits, problem<float>& task, const distill::softmax_options& options) {
    distill::log_softmax(logits, view_of(task.output, task.extent), options);
  };
  const auto log_sum_exp = [](auto logits, problem<float>& task, const distill::softmax_options& options) {
    distill::log_sum_exp(logits, distill::vector_view<float>(task.output.data(), task.extent.rows), options);
  };
  return {numeric("softmax", oracle::softmax(), softmax),
          numeric("log_softmax", oracle::log_softmax(), log_softmax),
          numeric("log_sum_exp", oracle::log_sum_exp(), log_sum_exp)};
}

void fill(suite& contenders) {
  const auto everybody = ours() + onednn_softmax() + onednn_log_softmax() + torch_softmax();
  for (const shape& extent : {shape{8192, 128}, shape{1024, 1000}, shape{256, 32000}, shape{64, 128256}}) {
    contenders.add({.task = "softmax", .extent = extent}, everybody);
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
