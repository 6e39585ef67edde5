#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>

#include "harness/suite.hpp"
#include "peers/distill.hpp"

// A sum of two losses in one call, next to two calls that add up the same gradient.
namespace {

using namespace benchmarks;

/// Two objectives called one after the other.
struct apart {
  distill::objective first;
  distill::objective second;

  template <class Matrix>
  double operator()(const Matrix& student, const Matrix& teacher, const Matrix& gradient,
                    distill::row_options rows) const {
    const double value = first(student, teacher, gradient, rows);
    rows.accumulate = true;
    return value + second(student, teacher, gradient, rows);
  }
};

/// The same sum in one call and in two.
template <class First, class Second>
peer_list<float> together_and_apart(const std::string& name, First first, Second second,
                                    const oracle_rule& rule) {
  const auto together = [=](problem<float>& task, int threads) {
    return bind_distill(task, threads, rule, first(task) + second(task));
  };
  const auto separate = [=](problem<float>& task, int threads) {
    return bind_distill(task, threads, rule, apart{first(task), second(task)});
  };
  return {{name + "_together", together}, {name + "_apart", separate}};
}

peer_list<float> sums() {
  const auto weighted_kl = [](problem<float>&) { return 0.7 * distill::forward_kl{.temperature = 2}; };
  const auto weighted_labels = [](problem<float>& task) {
    return 0.3 * distill::cross_entropy{.labels = task.labels};
  };
  const auto kl = [](problem<float>&) { return distill::objective(distill::forward_kl{.temperature = 2}); };
  const auto reverse = [](problem<float>&) {
    return distill::objective(distill::reverse_kl{.temperature = 2});
  };
  return together_and_apart(
             "kl_and_labels", weighted_kl, weighted_labels,
             oracle::weighted_sum({{0.7L, oracle::forward_kl(2)}, {0.3L, oracle::cross_entropy()}})) +
         together_and_apart(
             "kl_and_reverse", kl, reverse,
             oracle::weighted_sum({{1.0L, oracle::forward_kl(2)}, {1.0L, oracle::reverse_kl(2)}}));
}

void fill(suite& contenders) {
  for (const shape& extent : {shape{1024, 1000}, shape{256, 32000}}) {
    contenders.add({.task = "objective", .extent = extent}, sums());
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
