#include <distill/teacher/mean_of_log_probabilities.hpp>
#include <distill/teacher/mean_of_logits.hpp>
#include <distill/teacher/mean_of_probabilities.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Two teachers mixed into one, against libtorch.
namespace {

using namespace benchmarks;

template <class Mean>
peer<float> mean_of_two(std::string name, const oracle_rule& rule, const Mean& mean) {
  return {std::move(name), [=](problem<float>& task, int threads) {
            const auto use = [=](auto first, auto second, auto output, const distill::row_options& rows) {
              mean({first, second}, output, {.executor = rows.executor, .workspace = rows.workspace});
              return 0.0;
            };
            return bind_distill(task, threads, rule, use);
          }};
}

void fill(suite& contenders) {
  const peer_list<float> ours{mean_of_two("probabilities", oracle::mean_of_probabilities(2),
                                          distill::mean_of_probabilities{.temperature = 2}),
                              mean_of_two("log_probabilities", oracle::mean_of_log_probabilities(2),
                                          distill::mean_of_log_probabilities{.temperature = 2}),
                              mean_of_two("logits", oracle::mean_of_logits(), distill::mean_of_logits{})};
  for (const shape& extent : {shape{16384, 10}, shape{8192, 128}, shape{1024, 1000}, shape{256, 32000},
                              shape{16384, 10, storage_order::columns}}) {
    const bool by_rows = extent.order == storage_order::rows;
    contenders.add({.task = "teacher_means", .extent = extent},
                   by_rows ? ours + torch_teacher_means() : ours);
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
