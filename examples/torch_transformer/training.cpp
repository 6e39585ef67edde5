#include "training.hpp"

#include <ATen/ATen.h>

#include <chrono>
#include <distill/interop/torch_loss.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/schedule/cosine_schedule.hpp>
#include <distill/schedule/warm_up.hpp>

#include "distillation.hpp"
#include "report/text.hpp"

namespace torch_transformer {
namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

auto rate_schedule(const lesson& how) {
  const std::int64_t rising = std::max<std::int64_t>(how.steps / 10, 1);
  return distill::warm_up<distill::cosine_schedule>{
      .then = {.from = how.learning_rate, .to = 0, .steps = std::max<std::int64_t>(how.steps - rising, 1)},
      .steps = rising,
      .from = how.learning_rate / static_cast<double>(rising)};
}

}  // namespace

history train(transformer& model, transformer* teacher, const task& data, const lesson& how,
              const std::function<void(const std::string& detail)>& epoch_done) {
  distillation training(model, teacher, how.seed);
  distill::cursor at(how.plan);
  const auto rate = rate_schedule(how);
  history result;
  double loss = 0, seconds = 0;
  for (std::int64_t step = 0; step < how.steps; ++step) {
    const batch now = data.draw(step, how.seed);
    const clock::time_point start = clock::now();
    loss += training.step(now, at, at.learning_rate() * rate(step));
    seconds += seconds_since(start);
    at.advance(1, how.tokens_per_step);
    if ((step + 1) % how.steps_per_epoch != 0) continue;
    at.finish_epoch();
    result.epochs.push_back(
        {loss / static_cast<double>(how.steps_per_epoch), evaluate(model, data.validation)});
    result.tokens_per_second = static_cast<double>((step + 1) * how.tokens_per_step) / seconds;
    epoch_done(report::fixed(result.epochs.back().validation.nats, 3) + " nats, " +
               report::grouped(std::llround(result.tokens_per_second)) + " tokens/s");
    loss = 0;
  }
  return result;
}

scores evaluate(transformer& model, const std::vector<batch>& batches) {
  const at::NoGradGuard guard;
  double nats = 0, seconds = 0;
  std::int64_t correct = 0, answers = 0, tokens = 0;
  for (const batch& one : batches) {
    const clock::time_point start = clock::now();
    const at::Tensor logits = model.forward(one.inputs).logits;
    seconds += seconds_since(start);
    nats += distill::torch_loss(distill::cross_entropy{.labels = distill::torch_labels(one.targets)}, logits,
                                {}, {.reduction = distill::reduction::sum})
                .item<double>();
    correct += logits.argmax(1).eq(one.targets).sum().item<std::int64_t>();
    answers += one.targets.numel();
    tokens += one.inputs.size(0) * one.inputs.size(1);
  }
  const auto count = static_cast<double>(answers);
  return {nats / count, static_cast<double>(correct) / count, static_cast<double>(tokens) / seconds};
}

std::vector<std::vector<std::int64_t>> count_picks(transformer& model, const std::vector<batch>& batches) {
  const at::NoGradGuard guard;
  std::vector<std::vector<std::int64_t>> sum;
  for (const batch& one : batches) {
    const std::vector<std::vector<std::int64_t>> picks = model.forward(one.inputs).routers.picks;
    sum.resize(picks.size(), std::vector<std::int64_t>(picks.front().size()));
    for (std::size_t layer = 0; layer < picks.size(); ++layer)
      for (std::size_t e = 0; e < picks[layer].size(); ++e) sum[layer][e] += picks[layer][e];
  }
  return sum;
}

}  // namespace torch_transformer
