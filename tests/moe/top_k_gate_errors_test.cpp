// Bad input: the sentence, and nothing written.
#include "moe/gate_cases.hpp"

using namespace gate_cases;
using Catch::Equals;
using distill::top_k_gate;

namespace {

struct memory {
  guarded_matrix<float> logits{6, support::independent_logits(6, 8, 1, 1).student}, gradient{6, 8}, g{6, 2};
  routed<float> to{6, 2};
  std::vector<std::int64_t> assignments = std::vector<std::int64_t>(8);
  std::vector<double> slopes = std::vector<double>(16);
  distill::router_statistics statistics;

  memory() {
    to.weights.fill(7), gradient.fill(7), g.fill(1);
    statistics.assignments = assignments;
  }
  bool untouched() {
    for (const std::int32_t id : to.experts)
      if (id != -77) return false;
    for (std::size_t t = 0; t < 6; ++t)
      if (to.weights.at(t, 0) != 7 || gradient.at(t, 7) != 7) return false;
    return statistics.tokens == 0;
  }
};

template <class Error>
void forward_throws(const top_k_gate& gate, const std::string& message,
                    const distill::gate_options& options = {}) {
  memory m;
  CHECK_THROWS_WITH(gate(m.logits.view(), m.to.view(), options), Equals(message));
  CHECK_THROWS_AS(gate(m.logits.view(), m.to.view(), options), Error);
  CHECK(m.untouched());
}

template <class Error>
void backward_throws(const top_k_gate& gate, const std::string& message,
                     const distill::gate_backward_options& options) {
  memory m;
  std::fill(m.to.experts.begin(), m.to.experts.end(), 1);
  const auto call = [&] {
    gate.backward(m.logits.view(), m.to.view(), m.g.view(), m.gradient.view(), options);
  };
  CHECK_THROWS_WITH(call(), Equals(message));
  CHECK_THROWS_AS(call(), Error);
  CHECK(m.gradient.at(0, 0) == 7);
}

}  // namespace

TEST_CASE("parameters outside their range") {
  using distill::parameter_error;
  const std::vector<float> bias(7);
  forward_throws<parameter_error>({.k = 0}, "top_k_gate: k must be 1 to the 8 experts, got 0");
  forward_throws<parameter_error>({.k = 9}, "top_k_gate: k must be 1 to the 8 experts, got 9");
  forward_throws<parameter_error>({.scaling_factor = 1.0 / 0.0},
                                  "top_k_gate: scaling_factor must be finite, got inf");
  forward_throws<parameter_error>({.jitter = 1}, "top_k_gate: jitter must be >= 0 and < 1, got 1");
  forward_throws<parameter_error>({.noise = -1}, "top_k_gate: noise must be finite and >= 0, got -1");
  forward_throws<parameter_error>({.groups = 3},
                                  "top_k_gate: groups must be a divisor of the 8 experts, got 3");
  forward_throws<parameter_error>({.groups = 4, .kept_groups = 5},
                                  "top_k_gate: kept_groups must be 1 to groups, 4, got 5");
  forward_throws<parameter_error>({.groups = 8, .kept_groups = 1},
                                  "top_k_gate: k must be at most the 1 experts of the kept groups, got 2");
  forward_throws<parameter_error>(
      {.groups = 4, .kept_groups = 3, .group_score = distill::group_scoring::share_of_top_k},
      "top_k_gate: k must be a multiple of kept_groups for share_of_top_k, got 2");
  forward_throws<distill::shape_error>({.expert_bias = bias},
                                       "top_k_gate: expert_bias has 7 entries, logits has 8 experts");
}

TEST_CASE("shapes that do not fit") {
  using distill::shape_error;
  const std::vector<float> mask(5);
  std::vector<std::int64_t> few(7);
  distill::router_statistics statistics;
  statistics.assignments = few;
  forward_throws<shape_error>({.k = 3}, "top_k_gate: routing.experts has 2 experts per token, k is 3");
  forward_throws<shape_error>({}, "top_k_gate: token_mask has 5 entries, logits has 6 tokens",
                              {.token_mask = mask});
  forward_throws<shape_error>({}, "top_k_gate: statistics.assignments has 7 entries, logits has 8 experts",
                              {.statistics = &statistics});
  std::vector<std::int64_t> counts(4 * 8), tokens(4);
  std::vector<double> sums(4 * 8);
  const auto of = [&](std::size_t n, std::size_t e, std::size_t with_sums, std::size_t with_tokens) {
    return distill::sequence_statistics{
        {counts.data(), n, e}, {sums.data(), with_sums, e}, {tokens.data(), with_tokens}};
  };
  const auto sequences_throw = [](const distill::sequence_statistics& each, const std::string& message) {
    forward_throws<shape_error>({}, message, {.sequences = &each});
  };
  sequences_throw(of(4, 8, 4, 4),
                  "top_k_gate: sequences has 4 sequences, logits has 6 tokens; they must divide evenly");
  sequences_throw({}, "top_k_gate: sequences has 0 sequences, logits has 6 tokens; they must divide evenly");
  sequences_throw(of(2, 7, 2, 2), "top_k_gate: sequences.assignments has 7 experts, logits has 8");
  sequences_throw(of(2, 8, 3, 2),
                  "top_k_gate: sequences.probability_sums has 3 sequences, sequences.assignments has 2");
  sequences_throw(of(2, 8, 2, 3),
                  "top_k_gate: sequences.tokens has 3 entries, sequences.assignments has 2 sequences");
  const distill::sequence_statistics nowhere{{nullptr, 2, 8}, {}, {tokens.data(), 2}};
  forward_throws<distill::layout_error>({}, "top_k_gate: sequences.assignments has no memory",
                                        {.sequences = &nowhere});
  forward_throws<shape_error>({}, "top_k_gate: noise_deviation has 5 tokens, logits has 6",
                              {.noise_deviation = {mask.data(), 5, 1}});
  memory m;
  const distill::routing<float> short_one{{m.to.experts.data(), 5, 2}, m.to.weights.view()};
  CHECK_THROWS_WITH(top_k_gate{}(m.logits.view(), short_one),
                    Equals("top_k_gate: routing.experts has 5 tokens, logits has 6"));
  backward_throws<shape_error>({},
                               "top_k_gate::backward: probability_slopes has 2 sequences, 6 tokens with "
                               "tokens_per_sequence 2 are 3",
                               {.probability_slopes = {m.slopes.data(), 2, 8}, .tokens_per_sequence = 2});
  backward_throws<shape_error>({}, "top_k_gate::backward: probability_slopes has 7 experts, logits has 8",
                               {.probability_slopes = {m.slopes.data(), 1, 7}});
  backward_throws<distill::parameter_error>({}, "top_k_gate::backward: z_loss must be finite, got inf",
                                            {.z_loss = 1.0 / 0.0});
}

TEST_CASE("memory that cannot be used") {
  using distill::layout_error;
  memory m;
  const distill::routing<float> over{{m.to.experts.data(), 6, 2}, {&m.logits(0, 0), 6, 2, 8, 1}};
  CHECK_THROWS_WITH(top_k_gate{}(m.logits.view(), over),
                    Equals("top_k_gate: routing.weights overlaps logits"));
  const distill::routing<float> none{{m.to.experts.data(), 6, 2}, {nullptr, 6, 2}};
  CHECK_THROWS_WITH(top_k_gate{}(m.logits.view(), none), Equals("top_k_gate: routing.weights has no memory"));
  const distill::routing<float> same{{m.to.experts.data(), 6, 2, 0, 1}, m.to.weights.view()};
  CHECK_THROWS_AS(top_k_gate{}(m.logits.view(), same), layout_error);
  std::fill(m.to.experts.begin(), m.to.experts.end(), 1);
  CHECK_THROWS_WITH(top_k_gate{}.backward(m.logits.view(), m.to.view(), m.g.view(), m.logits.view()),
                    Equals("top_k_gate::backward: gradient overlaps logits"));
}

TEST_CASE("an expert that is not one") {
  memory m;
  std::fill(m.to.experts.begin(), m.to.experts.end(), 1);
  for (const std::int32_t bad : {8, -2, 1 << 30}) {
    m.to.experts[7] = bad;
    const std::string what = "routing.experts[3, 1] is " + std::to_string(bad) + ", must be in [0, 8) or -1";
    CHECK_THROWS_WITH(top_k_gate{}.replay(m.logits.view(), m.to.view()),
                      Equals("top_k_gate::replay: " + what));
    CHECK_THROWS_AS(top_k_gate{}.replay(m.logits.view(), m.to.view()), distill::data_error);
    CHECK_THROWS_WITH(top_k_gate{}.backward(m.logits.view(), m.to.view(), m.g.view(), m.gradient.view()),
                      Equals("top_k_gate::backward: " + what));
  }
  CHECK(m.to.weights.at(0, 0) == 7);
  CHECK(m.gradient.at(0, 0) == 7);
}

TEST_CASE("a gradient at the chosen experts only, where it is dense") {
  memory m;
  guarded_matrix<float> selected(6, 2);
  std::fill(m.to.experts.begin(), m.to.experts.end(), 1);
  const auto call = [&](const top_k_gate& gate, const distill::gate_backward_options& options) {
    gate.backward_selected(m.logits.view(), m.to.view(), m.g.view(), selected.view(), options);
  };
  CHECK_THROWS_WITH(
      call({.renormalize = false}, {}),
      Equals("top_k_gate::backward_selected: renormalize must be true for softmax_then_top_k, whose "
             "gradient is dense otherwise, got false"));
  CHECK_THROWS_WITH(
      call({}, {.z_loss = 0.5}),
      Equals("top_k_gate::backward_selected: z_loss must be absent: its gradient is dense, got 0.5"));
  CHECK_THROWS_WITH(call({}, {.probability_slopes = {m.slopes.data(), 1, 8}}),
                    Equals("top_k_gate::backward_selected: probability_slopes must be absent: its gradient "
                           "is dense, got 1 rows"));
  CHECK_NOTHROW(call({.scoring = distill::gate_scoring::sigmoid, .renormalize = false}, {}));
}
