#pragma once

#include <distill/curriculum/cursor.hpp>
#include <string>
#include <vector>

namespace support {

/// General corpus, domain data, human feedback: a stage of each kind of length, everything in it that can be.
inline distill::curriculum three_stages() {
  using namespace distill;
  return {
      .stages = {{.name = "general",
                  .length = {.amount = 10},
                  .data_source = "corpus",
                  .loss_weight = 0.7,
                  .objectives = {{"forward_kl", 1},
                                 {"cross_entropy", linear_schedule{.from = 0, .to = 1, .steps = 10}}},
                  .layers = {{2, 5, 0.5}},
                  .temperature = cosine_schedule{.from = 5, .to = 1, .steps = 10}},
                 {.name = "domain",
                  .length = {.unit = length_unit::tokens, .amount = 950},
                  .mixture = {{"corpus", 1}, {"legal", 3}},
                  .loss_weight = 0.2,
                  .objectives = {{"cross_entropy", 0.5}},
                  .layers = {{2, 5, 1}, {3, 7, 1}},
                  .learning_rate = warm_up<constant_schedule>{.then = {0.01}, .steps = 4},
                  .blend = 3},
                 {.name = "human",
                  .length = {.unit = length_unit::metric, .amount = 40, .metric = "reward", .target = 0.9},
                  .data_source = "feedback",
                  .loss_weight = 0.1,
                  .objectives = {{"reverse_kl", 1}},
                  .temperature = linear_schedule{.from = 2, .to = 1, .steps = 300},
                  .clock = clock_unit::tokens,
                  .blend = 200}},
      .temperature = 3,
      .learning_rate = cosine_schedule{.from = 0.1, .to = 0.001, .steps = 1000}};
}

/// All a cursor answers, to compare two of them to the bit.
inline std::vector<double> answers(const distill::cursor& at) {
  std::vector<double> all = {static_cast<double>(at.stage_index()), at.temperature(), at.learning_rate(),
                             at.loss_weight()};
  for (const char* name : {"forward_kl", "cross_entropy", "reverse_kl", "nothing"})
    all.push_back(at.objective_weight(name));
  for (const char* name : {"corpus", "legal", "feedback", "nothing"}) all.push_back(at.source_share(name));
  all.push_back(at.layer_weight(2, 5));
  all.push_back(at.layer_weight(3, 7));
  for (const auto& one : at.objectives()) all.push_back(one.weight);
  for (const auto& one : at.sources()) all.push_back(one.weight);
  return all;
}

}  // namespace support
