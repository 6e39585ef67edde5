#include <distill/dispatch.hpp>
#include <distill/moe/top_k_gate.hpp>
#include <memory>

#include "harness/suite.hpp"
#include "peers/gate.hpp"

// Experts and normalised weights of 4096 tokens; and the same with the gradient of weights, Switch loss and
// z-loss.
namespace {

using namespace benchmarks;

/// Everything one contender of ours keeps between calls.
struct state {
  distill::top_k_gate gate;
  std::vector<float> bias, logits, weights, upstream;
  std::vector<std::int32_t> experts;
  std::vector<std::int64_t> counts;
  std::vector<double> sums, slopes;
  distill::workspace workspace;

  state(const gate_task& what, const problem<float>& task)
      : logits(task.student.begin(), task.student.end()),
        weights(task.extent.rows * what.k),
        upstream(task.extent.rows * what.k),
        experts(task.extent.rows * what.k),
        counts(task.extent.columns),
        sums(task.extent.columns),
        slopes(task.extent.columns) {
    if (what.equal) std::fill(logits.begin(), logits.end(), 0.0F);
    gate.k = what.k;
    if (!what.deepseek) return;
    for (std::size_t e = 0; e < task.extent.columns; ++e) bias.push_back(bias_of(e));
    gate.scoring = distill::gate_scoring::sigmoid;
    gate.expert_bias = bias;
    gate.groups = 8, gate.kept_groups = 4;
    gate.group_score = distill::group_scoring::two_largest;
  }
  distill::routing<float> routing(const shape& extent) {
    return {{experts.data(), extent.rows, gate.k}, {weights.data(), extent.rows, gate.k}};
  }
};

void use_target(const std::string& name) {
  static std::string current;
  if (current == name) return;
  distill::force_target(name);
  current = name;
}

contender forward(const gate_task& what, problem<float>& task, const std::string& target) {
  const auto s = std::make_shared<state>(what, task);
  const auto extent = task.extent;
  const auto call = [=] {
    use_target(target);
    s->gate(distill::matrix_view<const float>(s->logits.data(), extent.rows, extent.columns),
            s->routing(extent), {.workspace = &s->workspace});
    return 0.0;
  };
  const auto publish = [=, &task] {
    std::fill(task.output.begin(), task.output.end(),
              what.equal ? 1.0F / static_cast<float>(extent.columns) : 0.0F);
    for (std::size_t i = 0; i < s->experts.size() && !what.equal; ++i)
      task.output[i / what.k * extent.columns + static_cast<std::size_t>(s->experts[i])] = s->weights[i];
  };
  return {call, gate_weights(what), publish};
}

contender training(const gate_task& what, problem<float>& task) {
  const auto s = std::make_shared<state>(what, task);
  const auto extent = task.extent;
  const auto call = [=, &task] {
    use_target("");
    const distill::matrix_view<const float> logits(s->logits.data(), extent.rows, extent.columns);
    std::fill(s->counts.begin(), s->counts.end(), 0);
    std::fill(s->sums.begin(), s->sums.end(), 0.0);
    distill::router_statistics statistics{.assignments = s->counts, .probability_sums = s->sums};
    s->gate(logits, s->routing(extent), {.statistics = &statistics, .workspace = &s->workspace});
    const auto tokens = static_cast<double>(statistics.tokens);
    for (std::size_t e = 0; e < extent.columns; ++e)
      s->slopes[e] = switch_coefficient * static_cast<double>(extent.columns) *
                     static_cast<double>(s->counts[e]) / (static_cast<double>(what.k) * tokens * tokens);
    for (std::size_t t = 0, i = 0; t < extent.rows; ++t)
      for (std::size_t slot = 0; slot < what.k; ++slot, ++i)
        s->upstream[i] = task.teacher[t * extent.columns + static_cast<std::size_t>(s->experts[i])];
    s->gate.backward(logits, s->routing(extent),
                     distill::matrix_view(s->upstream.data(), extent.rows, what.k),
                     distill::matrix_view(task.output.data(), extent.rows, extent.columns),
                     {.probability_slopes = {s->slopes.data(), 1, extent.columns},
                      .z_loss = z_coefficient / tokens,
                      .workspace = &s->workspace});
    return 0.0;
  };
  return {call, gate_gradient(what, task), {}};
}

peer<float> on_target(const gate_task& what, const std::string& name, const std::string& target) {
  return {name, [=](problem<float>& task, int) { return forward(what, task, target); }};
}

void add_forward(suite& contenders, const std::string& name, std::size_t experts, const gate_task& what) {
  // Among all tokens there are some whose scores with bias differ by less than they are rounded by.
  const std::size_t checked = what.deepseek ? std::size_t{1} << 14U : check_everything;
  peer_list<float> everybody = {on_target(what, "distill", "")};
  for (const auto& target : distill::available_targets())
    if (target == "AVX2" || target == "SSE4")
      everybody.push_back(on_target(what, "distill_" + target, target));
  contenders.add({.task = name, .extent = {4096, experts}, .checked_elements = checked},
                 everybody + partial_sort_gate(what) + torch_gate(what));
}

void fill(suite& contenders) {
  for (const auto& [experts, k] : {std::pair<std::size_t, std::size_t>{8, 2}, {64, 6}, {128, 8}, {256, 8}}) {
    add_forward(contenders, "top_k_gate", experts, {.k = k});
    add_forward(contenders, "top_k_gate_equal", experts, {.k = k, .equal = true});
    const peer_list<float> ours = {
        {"distill", [k = k](problem<float>& task, int) { return training({.k = k}, task); }}};
    contenders.add(
        {.task = "top_k_gate_training", .extent = {4096, experts}, .checked_elements = check_everything},
        ours + torch_gate_training({.k = k}));
  }
  add_forward(contenders, "deepseek_gate", 256, {.k = 8, .deepseek = true});
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
