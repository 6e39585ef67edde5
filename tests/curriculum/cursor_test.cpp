// What a cursor answers at every boundary, and how it moves.
#include <catch2/catch.hpp>
#include <limits>

#include "curriculum/three_stages.hpp"

using namespace distill;
using namespace support;

namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

curriculum plan_of(std::vector<stage_length> lengths) {
  curriculum plan;
  for (stage_length& length : lengths)
    plan.stages.push_back({.name = std::to_string(plan.stages.size()), .length = std::move(length)});
  return plan;
}

}  // namespace

TEST_CASE("a stage of steps ends with its last step") {
  cursor at(three_stages());
  CHECK(at.current_stage().name == "general");
  CHECK(at.temperature() == 5);
  CHECK(at.loss_weight() == 0.7);
  CHECK(at.objective_weight("forward_kl") == 1);
  CHECK(at.objective_weight("cross_entropy") == 0);
  CHECK(at.source_share("corpus") == 1);
  CHECK(at.source_share("legal") == 0);
  CHECK(at.layer_weight(2, 5) == 0.5);
  CHECK(at.layer_weight(2, 6) == 0);
  CHECK(at.layer_weight(3, 5) == 0);
  CHECK(at.learning_rate() == 0.1);
  CHECK(at.advance(9) == 0);
  CHECK(at.stage_index() == 0);
  CHECK(at.objective_weight("cross_entropy") == Approx(0.9));
  CHECK(at.advance() == 1);
  CHECK(at.stage_index() == 1);
  CHECK(at.state().stage_steps == 0);
  CHECK(at.state().steps == 10);
}

TEST_CASE("the previous stage fades") {
  cursor at(three_stages());
  at.advance(10);
  // A quarter, a half, three quarters of the new one, then all.
  CHECK(at.loss_weight() == Approx(0.25 * 0.2 + 0.75 * 0.7));
  CHECK(at.temperature() == Approx(0.25 * 3 + 0.75 * 1));
  CHECK(at.objective_weight("forward_kl") == Approx(0.75));
  CHECK(at.objective_weight("cross_entropy") == Approx(0.25 * 0.5 + 0.75 * 1));
  CHECK(at.source_share("corpus") == Approx(0.25 * 0.25 + 0.75));
  CHECK(at.source_share("legal") == Approx(0.25 * 0.75));
  CHECK(at.layer_weight(3, 7) == Approx(0.25));
  CHECK(at.layer_weight(2, 5) == Approx(0.625));
  CHECK(at.learning_rate() == Approx(0.75 * three_stages().learning_rate(10)));
  CHECK(at.sources().size() == 2);
  CHECK(at.objectives().size() == 2);
  at.advance();
  CHECK(at.loss_weight() == Approx(0.5 * 0.2 + 0.5 * 0.7));
  at.advance();
  CHECK(at.loss_weight() == Approx(0.75 * 0.2 + 0.25 * 0.7));
  at.advance();
  CHECK(at.loss_weight() == 0.2);
  CHECK(at.temperature() == 3);
  CHECK(at.objective_weight("forward_kl") == 0);
  CHECK(at.objectives().size() == 1);
  CHECK(at.sources() == std::vector<current_weight>{{"corpus", 0.25}, {"legal", 0.75}});
}

TEST_CASE("a stage of tokens ends with the step that fills it, and nothing is carried over") {
  cursor at(three_stages());
  at.advance(10, 100);
  CHECK(at.state().stage_tokens == 0);
  CHECK(at.state().tokens == 1000);
  CHECK(at.advance(9, 100) == 0);
  CHECK(at.advance(1, 100) == 1);
  CHECK(at.state().stage_tokens == 0);
  CHECK(at.state().tokens == 2000);
  CHECK(at.current_stage().name == "human");
  cursor without(plan_of({{.unit = length_unit::tokens, .amount = 5}}));
  CHECK(without.advance(1000000) == 0);
}

TEST_CASE("schedules count the stage's clock") {
  cursor at(three_stages());
  at.advance(10);
  at.advance(10, 95);
  REQUIRE(at.current_stage().name == "human");
  at.advance(3, 100);
  CHECK(at.temperature() == Approx(1));
  at.repeat_stage();
  CHECK(at.temperature() == 2);
  at.advance(2, 75);
  CHECK(at.temperature() == 1.5);
  curriculum plan = plan_of({{.unit = length_unit::epochs, .amount = 4}});
  plan.stages[0].temperature = linear_schedule{.from = 5, .to = 1, .steps = 4};
  plan.stages[0].clock = clock_unit::epochs;
  cursor by_epoch(plan);
  by_epoch.advance(1000);
  CHECK(by_epoch.temperature() == 5);
  CHECK_FALSE(by_epoch.finish_epoch());
  CHECK(by_epoch.temperature() == 4);
}

TEST_CASE("a stage of epochs ends with its last epoch") {
  cursor at(plan_of({{.unit = length_unit::epochs, .amount = 2}, {.amount = 5}}));
  at.advance(100);
  CHECK_FALSE(at.finish_epoch());
  CHECK(at.stage_index() == 0);
  CHECK(at.finish_epoch());
  CHECK(at.stage_index() == 1);
  CHECK(at.state().epochs == 2);
  CHECK(at.state().stage_epochs == 0);
  CHECK_FALSE(at.finish_epoch());
}

TEST_CASE("an epoch counts for the stage that its last step was in") {
  cursor at(plan_of({{.amount = 10}, {.unit = length_unit::epochs, .amount = 2}, {.amount = 5}}));
  // Epochs of five steps: the second one's last step ends the first stage.
  const auto train_an_epoch = [&at] {
    at.advance(5);
    return at.finish_epoch();
  };
  CHECK_FALSE(train_an_epoch());
  CHECK_FALSE(train_an_epoch());
  CHECK(at.stage_index() == 1);
  CHECK(at.state().epochs == 2);
  CHECK(at.state().stage_epochs == 0);
  CHECK_FALSE(train_an_epoch());
  CHECK(at.state().stage_epochs == 1);
  CHECK(train_an_epoch());
  CHECK(at.stage_index() == 2);
  CHECK(at.state().epochs == 4);

  // A stage that began within the epoch counts it.
  cursor within(plan_of({{.amount = 3}, {.unit = length_unit::epochs, .amount = 1}}));
  within.advance(5);
  CHECK(within.finish_epoch());

  // Where steps are not counted, every epoch counts.
  cursor by_epoch(
      plan_of({{.unit = length_unit::epochs, .amount = 1}, {.unit = length_unit::epochs, .amount = 1}}));
  CHECK(by_epoch.finish_epoch());
  CHECK(by_epoch.finish_epoch());
  CHECK(by_epoch.finished());
}

TEST_CASE("a stage ends when its metric has reached the target") {
  const stage_length until{.unit = length_unit::metric, .metric = "accuracy", .target = 0.9};
  cursor at(plan_of({until, {.amount = 1}}));
  CHECK(at.advance(1000000) == 0);
  CHECK_FALSE(at.report("accuracy", 0.89));
  CHECK_FALSE(at.report("loss", 5));
  CHECK_FALSE(at.report("accuracy", std::numeric_limits<double>::quiet_NaN()));
  CHECK(at.report("accuracy", 0.9));
  CHECK(at.stage_index() == 1);
  CHECK_FALSE(at.report("accuracy", 0.95));

  stage_length below = until;
  below.goal = metric_goal::at_most;
  cursor down(plan_of({below}));
  CHECK_FALSE(down.report("accuracy", 0.91));
  CHECK(down.report("accuracy", 0.9));
  CHECK(down.finished());

  stage_length limited = until;
  limited.amount = 20;
  cursor bounded(plan_of({limited}));
  CHECK(bounded.advance(19) == 0);
  CHECK(bounded.advance(5) == 1);
  CHECK(bounded.finished());
  CHECK(bounded.state().steps == 20);
}

TEST_CASE("a metric's name fits in place") {
  CHECK(std::string_view(short_name("accuracy")) == "accuracy");
  CHECK(std::string_view(short_name(std::string(63, 'x'))) == std::string(63, 'x'));
  CHECK_THROWS_WITH(short_name(std::string(64, 'x')), "short_name: holds at most 63 bytes");
  CHECK_FALSE(short_name("a") == short_name("b"));
  CHECK(short_name("").empty());
}

TEST_CASE("a finished cursor answers for the last stage's end, and counts nothing") {
  curriculum plan = plan_of({{.amount = 4}, {.amount = 4}});
  plan.stages[1].temperature = linear_schedule{.from = 5, .to = 1, .steps = 8};
  plan.stages[1].loss_weight = 0.25;
  cursor at(plan);
  CHECK(at.advance(kMost) == 2);
  CHECK(at.finished());
  CHECK(at.stage_index() == 2);
  CHECK(at.current_stage().name == "1");
  CHECK(at.temperature() == 3);
  CHECK(at.loss_weight() == 0.25);
  const cursor_state before = at.state();
  CHECK(at.advance(7, 7) == 0);
  CHECK_FALSE(at.finish_epoch());
  CHECK_FALSE(at.report("accuracy", 1));
  at.skip_stage();
  CHECK(at.state() == before);
  CHECK(before.steps == 8);
}

TEST_CASE("skip, repeat, roll back") {
  cursor at(three_stages());
  at.advance(4, 10);
  at.skip_stage();
  CHECK(at.stage_index() == 1);
  CHECK(at.state().steps == 4);
  CHECK(at.state().previous_clock == 4);
  CHECK(at.loss_weight() == Approx(0.25 * 0.2 + 0.75 * 0.7));  // it fades as after its end
  at.advance(5, 10);
  at.repeat_stage();
  CHECK(at.stage_index() == 1);
  CHECK(at.state().stage_steps == 0);
  CHECK(at.state().stage_tokens == 0);
  CHECK(at.state().steps == 9);
  CHECK(at.state().tokens == 90);
  CHECK(at.loss_weight() == 0.2);  // nothing fades
  at.skip_stage();
  at.roll_back();
  CHECK(at.stage_index() == 1);
  at.skip_stage();
  at.roll_back(2);
  CHECK(at.stage_index() == 0);
  CHECK(at.temperature() == 5);
  for (int i = 0; i < 3; ++i) at.skip_stage();
  REQUIRE(at.finished());
  CHECK_THROWS_AS(at.repeat_stage(), parameter_error);
  at.roll_back();
  CHECK(at.current_stage().name == "human");
}

TEST_CASE("seek is where as many steps lead") {
  curriculum plan =
      plan_of({{.amount = 3}, {.amount = 5}, {.amount = 2}, {.unit = length_unit::epochs, .amount = 1}});
  plan.stages[1].clock = clock_unit::epochs;
  plan.stages[2].blend = 2;
  for (std::int64_t step = 0; step <= 10; ++step) {
    cursor walked(plan), sought(plan);
    walked.advance(step);
    sought.seek(step);
    CHECK(sought.state() == walked.state());
  }
  cursor at(plan);
  CHECK_THROWS_WITH(at.seek(11), "cursor: cannot seek step 11, stages[3] is not counted in steps");
  plan.stages.pop_back();
  cursor walked(plan), sought(plan);
  walked.advance(12);
  sought.seek(12);
  CHECK(sought.finished());
  CHECK(sought.state() == walked.state());
}

TEST_CASE("many stages are sought at once") {
  curriculum plan;
  for (int i = 0; i < 20000; ++i) plan.stages.push_back({.name = std::to_string(i), .length = {.amount = 7}});
  cursor at(plan);
  at.seek(7 * 12345 + 3);
  CHECK(at.current_stage().name == "12345");
  CHECK(at.state().stage_steps == 3);
}

TEST_CASE("errors of moving leave the cursor as it was") {
  cursor at(three_stages());
  at.advance(3, 5);
  const cursor_state before = at.state();
  CHECK_THROWS_WITH(at.advance(-1), "cursor: steps must be >= 0, got -1");
  CHECK_THROWS_WITH(at.advance(1, -1), "cursor: tokens_per_step must be >= 0, got -1");
  CHECK_THROWS_WITH(at.advance(kMost), "cursor: more steps or tokens than an int64 counts");
  CHECK_THROWS_WITH(at.advance(3, kMost / 2), "cursor: more steps or tokens than an int64 counts");
  CHECK_THROWS_WITH(at.roll_back(1), "cursor: stages to roll back must be in [0, 0], got 1");
  CHECK_THROWS_WITH(at.seek(-1), "cursor: step must be >= 0, got -1");
  CHECK_THROWS_WITH(at.seek(11), "cursor: cannot seek step 11, stages[1] is not counted in steps");
  CHECK(at.state() == before);
}
