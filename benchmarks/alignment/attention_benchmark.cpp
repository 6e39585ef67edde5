#include <algorithm>
#include <cmath>
#include <distill/alignment/attention_kl.hpp>
#include <distill/interop/eigen.hpp>
#include <stdexcept>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// attention_kl, value and gradient: of maps, and from queries and keys without the map, against libtorch with
// the map.
namespace {

using namespace benchmarks;

struct kept_state {
  call_state call;
  distill::eigen_product product;

  distill::attention_options options() {
    distill::attention_options options;
    if (call.team.threads > 1) options.executor = call.team;
    options.workspace = &call.workspace;
    options.product = product;
    return options;
  }
};

std::shared_ptr<kept_state> state_of(int threads) {
  auto state = std::make_shared<kept_state>();
  state->call.team.threads = threads;
  return state;
}

contender maps(problem<float>& task, int threads) {
  const std::size_t keys = task.extent.columns, count = task.extent.rows / keys;
  const auto view = [=](aligned_vector<float>& memory) {
    return distill::tensor_view<float>(memory.data(), {count, 1, keys, keys});
  };
  const auto student = view(task.student), teacher = view(task.teacher), gradient = view(task.output);
  const auto state = state_of(threads);
  const auto call = [=] { return distill::attention_kl{}(student, teacher, gradient, state->options()); };
  return {call, oracle::forward_kl(1), {}};
}

contender products(problem<float>& task, int threads, const attention_extent& of) {
  const auto view = [=](aligned_vector<float>& memory) {
    const distill::tensor_view<float>::extents_type extents = {1, of.heads, of.positions, of.width};
    return distill::queries_keys(distill::tensor_view<float>(memory.data(), extents),
                                 distill::tensor_view<float>(memory.data() + memory.size() / 2, extents),
                                 of.scale);
  };
  const auto student = view(task.student), teacher = view(task.teacher), gradient = view(task.output);
  const auto state = state_of(threads);
  const auto call = [=] { return distill::attention_kl{}(student, teacher, gradient, state->options()); };
  return {call, oracle::nothing(), {}};
}

peer_list<float> our_products(const attention_extent& of) {
  return {{"distill", [=](problem<float>& task, int threads) { return products(task, threads, of); }}};
}

/// The two answers must agree before anything is timed: tiles against the map.
void compare(const shape& extent, const attention_extent& of) {
  problem<float> task(extent, data_set::independent);
  std::vector<aligned_vector<float>> answers;
  std::vector<double> values;
  for (const auto& each : our_products(of) + torch_attention_products(of)) {
    const contender subject = each.bind(task, 1);
    values.push_back(subject.call());
    if (subject.publish) subject.publish();
    answers.push_back(task.output);
  }
  for (std::size_t other = 1; other < answers.size(); ++other) {
    double error = std::abs(values[0] - values[other]) / values[other], largest = 0, worst = 0;
    for (std::size_t i = 0; i < answers[0].size(); ++i) {
      const double theirs = static_cast<double>(answers[other][i]);
      const double difference = std::abs(static_cast<double>(answers[0][i]) - theirs);
      if (std::isnan(difference)) throw std::runtime_error("attention_products: an answer is no number");
      worst = std::max(worst, difference);
      largest = std::max(largest, std::abs(theirs));
    }
    error = std::max(error, worst / largest);
    if (!(error < 1e-4))
      throw std::runtime_error("attention_products: the contenders differ by " + std::to_string(error));
  }
}

void fill(suite& contenders) {
  const std::vector<int> threads = {1, 2};
  const auto of_maps = with_threads(peer_list<float>{{"distill", maps}} + torch_attention_maps(), threads);
  contenders.add({.task = "attention_maps", .extent = {8 * 12 * 512, 512}}, of_maps);
  for (const std::size_t positions : {std::size_t{512}, std::size_t{2048}}) {
    // Products of two draws of N(0, 3²): scores of deviation 1.
    const attention_extent of{positions == 512 ? std::size_t{96} : std::size_t{12}, positions, 64,
                              1 / (9 * 8.0)};
    const shape extent{of.heads * positions, 2 * of.width};
    if (!contenders.lists_only()) compare({2 * positions, 2 * of.width}, {2, positions, of.width, of.scale});
    contenders.add({.task = "attention_products", .extent = extent, .checked_elements = check_everything},
                   with_threads(our_products(of) + torch_attention_products(of), threads));
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
