#include <array>
#include <catch2/catch.hpp>
#include <distill/curriculum/cursor.hpp>
#include <distill/curriculum/progressive.hpp>

using namespace distill;

TEST_CASE("progressive distillation: one stage for each layer") {
  const std::array<layer_weight, 3> layers = {{{0, 1, 1}, {1, 3, 1}, {2, 5, 0.5}}};
  const stage prototype{
      .name = "layers", .length = {.amount = 10}, .objectives = {{"hidden_mse", 1}}, .blend = 2};
  const auto cumulative = progressive_stages(prototype, layers);
  REQUIRE(cumulative.size() == 3);
  CHECK(cumulative[2].name == "layers 3");
  CHECK(cumulative[0].layers.size() == 1);
  CHECK(cumulative[2].layers == std::vector<layer_weight>(layers.begin(), layers.end()));
  CHECK(cumulative[0].blend == 0);
  CHECK(cumulative[1].blend == 2);
  CHECK(cumulative[1].objectives == prototype.objectives);
  CHECK(defects_of({.stages = cumulative}).empty());

  const auto alone = progressive_stages(prototype, layers, progressive_layers::one_at_a_time);
  CHECK(alone[2].layers == std::vector<layer_weight>{layers[2]});

  curriculum plan{.stages = cumulative};
  plan.stages.push_back({.name = "logits", .length = {.amount = 10}, .objectives = {{"forward_kl", 1}}});
  cursor at(plan);
  CHECK(at.layer_weight(0, 1) == 1);
  CHECK(at.layer_weight(1, 3) == 0);
  at.advance(15);
  CHECK(at.layer_weight(1, 3) == 1);
  CHECK(at.objective_weight("hidden_mse") == 1);
  at.advance(15);
  CHECK(at.layer_weight(0, 1) == 0);
  CHECK(at.objective_weight("hidden_mse") == 0);
  CHECK(at.objective_weight("forward_kl") == 1);
}
