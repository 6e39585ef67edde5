// Every defect of a curriculum, with its place; and all of them at once.
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "curriculum/three_stages.hpp"

using namespace distill;
using namespace support;

namespace {

using defects = std::vector<curriculum_defect>;

defects after(const std::function<void(curriculum&)>& spoil) {
  curriculum plan = three_stages();
  spoil(plan);
  return defects_of(plan);
}

}  // namespace

TEST_CASE("a sound curriculum has no defects") {
  CHECK(defects_of(three_stages()).empty());
  CHECK_NOTHROW(check(three_stages()));
}

TEST_CASE("every defect is named with its place") {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto one = [](const char* place, const char* what) { return defects{{place, what}}; };
  CHECK(after([](curriculum& c) { c.stages.clear(); }) == one("stages", "must not be empty"));
  CHECK(after([](curriculum& c) { c.stages[1].name = ""; }) == one("stages[1].name", "must not be empty"));
  CHECK(after([](curriculum& c) { c.stages[2].name = "general"; }) ==
        one("stages[2].name", "must be unlike stages[0].name"));
  CHECK(after([](curriculum& c) { c.stages[1].loss_weight = -0.2; }) ==
        one("stages[1].loss_weight", "must be >= 0, got -0.2"));
  CHECK(after([&](curriculum& c) { c.stages[1].loss_weight = infinity; }) ==
        one("stages[1].loss_weight", "must be finite, got inf"));
  CHECK(after([](curriculum& c) { c.stages[0].length.amount = 0; }) ==
        one("stages[0].length.amount", "must be >= 1, got 0"));
  CHECK(after([](curriculum& c) { c.stages[2].length.amount = -1; }) ==
        one("stages[2].length.amount", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.stages[0].length.metric = "x"; }) ==
        one("stages[0].length.metric", "must be left out unless unit is metric"));
  CHECK(after([](curriculum& c) { c.stages[2].length.metric = ""; }) ==
        one("stages[2].length.metric", "must be the name of a metric"));
  CHECK(after([&](curriculum& c) { c.stages[2].length.target = infinity; }) ==
        one("stages[2].length.target", "must be finite, got inf"));
  CHECK(after([](curriculum& c) { c.stages[1].data_source.push_back('x'); }) ==
        one("stages[1].data_source", "must be left out where there is a mixture"));
  CHECK(after([](curriculum& c) { c.stages[1].mixture[1].name = "corpus"; }) ==
        one("stages[1].mixture.corpus", "must be unlike stages[1].mixture.corpus"));
  CHECK(after([](curriculum& c) { c.stages[1].mixture[1].weight = -3; }) ==
        one("stages[1].mixture.legal", "must be >= 0, got -3"));
  CHECK(after([](curriculum& c) {
          c.stages[0].objectives[1].weight = linear_schedule{.from = 1, .to = -1};
        }) == one("stages[0].objectives.cross_entropy", "must stay >= 0, goes down to -1"));
  CHECK(after([](curriculum& c) { c.stages[0].objectives[1].name = ""; }) ==
        one("stages[0].objectives[\"\"]", "must not be empty"));
  CHECK(after([](curriculum& c) {
          c.stages[0].objectives[1] = {"a \"b\"\n", -1};
        }) == one("stages[0].objectives[\"a \\\"b\\\"?\"]", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.stages[0].layers[0].student = -1; }) ==
        one("stages[0].layers[0].student", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.stages[1].layers[1] = c.stages[1].layers[0]; }) ==
        one("stages[1].layers[1]", "must be unlike stages[1].layers[0]"));
  CHECK(after([](curriculum& c) { c.stages[1].layers[1].weight = -1; }) ==
        one("stages[1].layers[1].weight", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.temperature = 0; }) == one("temperature", "must be > 0, got 0"));
  CHECK(after([](curriculum& c) {
          c.stages[0].temperature = exponential_schedule{.from = 5, .factor = 0.9};
        }) == one("stages[0].temperature", "must stay > 0, goes down to 0"));
  CHECK(after([](curriculum& c) {
          c.stages[0].temperature = exponential_schedule{.from = 5, .factor = 2};
        }) == one("stages[0].temperature", "must stay finite, grows without end"));
  CHECK(after([](curriculum& c) { c.learning_rate = -1; }) == one("learning_rate", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.stages[1].learning_rate = -1; }) ==
        one("stages[1].learning_rate", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.stages[1].blend = -1; }) ==
        one("stages[1].blend", "must be >= 0, got -1"));
  CHECK(after([](curriculum& c) { c.stages[0].blend = 1; }) ==
        one("stages[0].blend", "must be 0, the first stage follows nothing"));
  CHECK(after([](curriculum& c) {
          c.stages[1].clock = clock_unit::tokens;
          c.stages[1].blend = 951;
        }) == one("stages[1].blend", "must be at most the stage's length of 950, got 951"));
}

TEST_CASE("all defects come at once, in the order of the plan") {
  const defects all = after([](curriculum& c) {
    c.temperature = -1;
    c.stages[0].loss_weight = -1;
    c.stages[1].name = "general";
    c.stages[2].blend = -5;
  });
  REQUIRE(all.size() == 4);
  CHECK(all[0].place == "temperature");
  CHECK(all[1].place == "stages[0].loss_weight");
  CHECK(all[2].place == "stages[1].name");
  CHECK(all[3].place == "stages[2].blend");
  curriculum plan = three_stages();
  plan.stages[0].loss_weight = plan.stages[1].loss_weight = -1;
  CHECK_THROWS_WITH(cursor(plan),
                    "curriculum: stages[0].loss_weight: must be >= 0, got -1\n"
                    "stages[1].loss_weight: must be >= 0, got -1");
}
