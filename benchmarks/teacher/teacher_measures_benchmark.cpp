#include <algorithm>
#include <distill/teacher/row_statistics.hpp>
#include <distill/teacher/row_weights.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Numbers that rows are weighed by, one for each row, against libtorch.
namespace {

using namespace benchmarks;

/// What a call keeps, and where the numbers go: doubles for measures, floats for weights.
template <class Number>
struct measured_rows {
  call_state call;
  std::vector<Number> numbers;
};

/// `measure(student, teacher, numbers, row_options)`.
template <class Number, class Measure>
peer<float> measure_of(std::string name, const oracle_rule& rule, Measure measure) {
  return {std::move(name), [=](problem<float>& task, int threads) -> contender {
            const auto state = std::make_shared<measured_rows<Number>>();
            state->call.team.threads = threads;
            state->numbers.resize(task.extent.rows);
            const auto student = view_of(task.student, task.extent),
                       teacher = view_of(task.teacher, task.extent);
            const auto call = [=] {
              measure(student, teacher, distill::vector_view<Number>(state->numbers), state->call.options());
              return 0.0;
            };
            const auto publish = [=, &task] {
              std::transform(state->numbers.begin(), state->numbers.end(), task.output.begin(),
                             [](Number x) { return static_cast<float>(x); });
            };
            return {call, rule, publish};
          }};
}

peer_list<float> ours() {
  using numbers = distill::vector_view<double>;
  using weights = distill::vector_view<float>;
  using distill::row_options;
  return {
      measure_of<double>("log_sum_exp", oracle::log_sum_exp(),
                         [](auto student, auto, numbers to, const row_options& rows) {
                           distill::measure_rows(student, {.log_sum_exp = to},
                                                 {.executor = rows.executor, .workspace = rows.workspace});
                         }),
      measure_of<double>("entropy", oracle::entropy(),
                         [](auto student, auto, numbers to, const row_options& rows) {
                           distill::measure_rows(student, {.entropy = to},
                                                 {.executor = rows.executor, .workspace = rows.workspace});
                         }),
      measure_of<double>("divergence", oracle::row_divergence(),
                         [](auto student, auto teacher, numbers to, const row_options& rows) {
                           distill::compare_rows(student, teacher, {.divergence = to},
                                                 {.executor = rows.executor, .workspace = rows.workspace});
                         }),
      measure_of<float>("ea_kd_weight", oracle::ea_kd_weight(3),
                        [](auto student, auto teacher, weights to, const row_options& rows) {
                          distill::ea_kd_weight{}(student, teacher, to,
                                                  {.executor = rows.executor, .workspace = rows.workspace});
                        }),
  };
}

void fill(suite& contenders) {
  for (const shape& extent : {shape{16384, 10}, shape{8192, 128}, shape{1024, 1000}, shape{256, 32000},
                              shape{16384, 10, storage_order::columns}}) {
    const bool by_rows = extent.order == storage_order::rows;
    contenders.add({.task = "teacher_measures", .extent = extent},
                   by_rows ? ours() + torch_teacher_measures() : ours());
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
