#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "curriculum/three_stages.hpp"

using namespace distill;
using namespace support;

namespace {

std::int64_t upto(std::int64_t most) { return *rc::gen::inRange<std::int64_t>(1, most + 1); }

curriculum arbitrary_plan() {
  curriculum plan;
  const std::int64_t count = upto(6);
  for (std::int64_t i = 0; i < count; ++i) {
    stage one{.name = std::to_string(i), .loss_weight = static_cast<double>(upto(10))};
    const bool by_tokens = *rc::gen::arbitrary<bool>();
    one.length = {.unit = by_tokens ? length_unit::tokens : length_unit::steps, .amount = upto(50)};
    one.mixture = {{"corpus", static_cast<double>(upto(5))},
                   {std::to_string(i), static_cast<double>(upto(5))}};
    one.objectives = {{"forward_kl", linear_schedule{.from = 0, .to = 1, .steps = upto(20)}}};
    if (*rc::gen::arbitrary<bool>()) one.temperature = linear_schedule{.from = 4, .to = 2, .steps = upto(60)};
    one.clock = by_tokens ? clock_unit::tokens : clock_unit::steps;
    one.blend = i == 0 ? 0 : *rc::gen::inRange<std::int64_t>(0, one.length.amount + 1);
    plan.stages.push_back(one);
  }
  return plan;
}

}  // namespace

TEST_CASE("properties of cursors") {
  rc::prop("many steps at once are as many single ones", [] {
    const curriculum plan = arbitrary_plan();
    cursor at_once(plan), one_by_one(plan);
    while (!at_once.finished()) {
      const std::int64_t steps = upto(30), tokens = upto(9);
      const std::size_t ended = at_once.advance(steps, tokens);
      std::size_t sum = 0;
      for (std::int64_t i = 0; i < steps; ++i) sum += one_by_one.advance(1, tokens);
      RC_ASSERT(ended == sum);
      RC_ASSERT(at_once.state() == one_by_one.state());
    }
  });

  rc::prop("blended values lie between those of the two stages, shares sum to 1", [] {
    const curriculum plan = arbitrary_plan();
    cursor at(plan);
    for (; !at.finished(); at.advance(1, upto(9))) {
      const auto sources = at.sources();
      const double sum =
          std::accumulate(sources.begin(), sources.end(), 0.0,
                          [](double total, const current_weight& one) { return total + one.weight; });
      RC_ASSERT(std::abs(sum - 1) <= 1e-12);
      const std::size_t i = at.stage_index();
      const double now = plan.stages[i].loss_weight, before = i == 0 ? now : plan.stages[i - 1].loss_weight;
      RC_ASSERT(at.loss_weight() >= std::min(now, before));
      RC_ASSERT(at.loss_weight() <= std::max(now, before));
      RC_ASSERT((at.temperature() > 0 && at.temperature() <= 4));
    }
  });

  rc::prop("a restored cursor is the cursor", [] {
    const curriculum plan = arbitrary_plan();
    cursor at(plan);
    for (std::int64_t i = upto(10); i > 0; --i) {
      switch (*rc::gen::inRange(0, 4)) {
        case 0:
          at.skip_stage();
          break;
        case 1:
          at.roll_back(at.finished() ? 1 : 0);
          break;
        default:
          at.advance(upto(20), upto(9));
          break;
      }
      RC_ASSERT(answers(cursor(plan, at.state())) == answers(at));
    }
  });
}
