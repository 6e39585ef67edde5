// Gradients against numerical differentiation of the oracle, with random upstream weights.
#include "moe/gate_cases.hpp"
#include "support/larger_error.hpp"

using namespace gate_cases;
using distill::gate_scoring;

namespace {

struct losses {
  bool weights = true, slopes = false;
  double z_loss = 0;
};

template <class T>
struct problem {
  std::size_t tokens, experts;
  guarded_matrix<T> logits, gradient;
  guarded_matrix<T> upstream;
  std::vector<double> slopes;
  routed<std::conditional_t<sizeof(T) == 8, double, float>> to;

  problem(const setting& s, std::size_t tokens_, std::size_t experts_, layout how, std::size_t sequences)
      : tokens(tokens_),
        experts(experts_),
        logits(tokens, support::independent_logits(tokens, experts, 7 * experts + tokens, 1.5).student, how),
        gradient(tokens, experts, how),
        upstream(tokens, support::independent_logits(tokens, s.gate.k, 5, 1).student, how),
        to(tokens, s.gate.k) {
    slopes = support::independent_logits(sequences, experts, 6, 1).student;
    s.gate(logits.view(), to.view());
  }
};

template <class T>
gate_oracle::row exact_gradient(const setting& s, problem<T>& p, std::size_t token, const losses& what,
                                std::size_t tokens_per_sequence) {
  gate_oracle::loss of;
  if (what.weights) of.g = exact_row(p.upstream, token);
  const std::size_t sequence = tokens_per_sequence == 0 ? 0 : token / tokens_per_sequence;
  if (what.slopes)
    of.a.assign(p.slopes.begin() + static_cast<std::ptrdiff_t>(sequence * p.experts),
                p.slopes.begin() + static_cast<std::ptrdiff_t>((sequence + 1) * p.experts));
  of.beta = what.z_loss;
  return gate_oracle::gradient(s.oracle, exact_row(p.logits, token), p.to.row(token), of);
}

// On every SIMD target, for the routing of the best one.
template <class T>
double worst_error(setting s, std::size_t tokens, std::size_t experts, const losses& what,
                   layout how = layout::compact, std::size_t tokens_per_sequence = 0) {
  s.gate.expert_bias = s.bias;
  const std::size_t sequences =
      tokens_per_sequence == 0 ? 1 : (tokens + tokens_per_sequence - 1) / tokens_per_sequence;
  problem<T> p(s, tokens, experts, how, sequences);
  distill::gate_backward_options options{.z_loss = what.z_loss};
  if (what.slopes) options.probability_slopes = {p.slopes.data(), sequences, experts};
  options.tokens_per_sequence = tokens_per_sequence;
  std::vector<gate_oracle::row> expected;
  for (std::size_t t = 0; t < tokens; ++t)
    expected.push_back(exact_gradient(s, p, t, what, tokens_per_sequence));
  double worst = 0;
  on_every_target([&] {
    p.gradient.fill(-5);
    if (what.weights)
      s.gate.backward(p.logits.view(), p.to.view(), p.upstream.view(), p.gradient.view(), options);
    else
      s.gate.backward(p.logits.view(), p.to.view(), distill::no_weight_gradient, p.gradient.view(), options);
    CHECK(p.gradient.is_intact());
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t e = 0; e < experts; ++e)
        worst =
            support::larger_error(worst, static_cast<double>(std::abs(p.gradient.at(t, e) - expected[t][e])));
  });
  return worst;
}

}  // namespace

TEST_CASE("every scoring and loss, alone and together") {
  for (const gate_scoring scoring : every_scoring)
    for (const bool renormalize : {false, true})
      for (const losses& what : {losses{true, false, 0}, losses{false, true, 0}, losses{false, false, 0.3},
                                 losses{true, true, 0}, losses{true, true, 0.3}, losses{true, false, 0.3}})
        for (const auto& [experts, k] :
             {std::pair<std::size_t, std::size_t>{1, 1}, {8, 2}, {33, 5}, {40, 12}}) {
          const setting s =
              setting_of({.k = k, .scoring = scoring, .renormalize = renormalize, .scaling_factor = 1.5});
          INFO(text_of(s.gate) << ", " << experts << " experts, " << what.weights << what.slopes
                               << what.z_loss);
          CHECK(worst_error<float>(s, 19, experts, what) < 4e-6);
          CHECK(worst_error<double>(s, 9, experts, what) < 1e-11);
        }
}

TEST_CASE("many experts, bias and groups") {
  for (const std::size_t experts : {64, 256}) {
    std::vector<float> bias(experts);
    for (std::size_t e = 0; e < experts; ++e) bias[e] = static_cast<float>(e % 7) * 0.1f;
    const setting s = setting_of({.k = 8,
                                  .scoring = gate_scoring::sigmoid,
                                  .scaling_factor = 2.5,
                                  .groups = 8,
                                  .kept_groups = 4,
                                  .group_score = distill::group_scoring::two_largest},
                                 bias);
    CHECK(worst_error<float>(s, 18, experts, {true, true, 0.1}) < 4e-6);
    CHECK(worst_error<double>(s, 9, experts, {true, true, 0.1}) < 1e-11);
  }
}

TEST_CASE("slopes of each sequence") {
  for (const std::size_t each : {1, 5, 16, 20, 100})
    for (const gate_scoring scoring : {gate_scoring::softmax_then_top_k, gate_scoring::sigmoid}) {
      CAPTURE(each);
      const setting s = setting_of({.k = 3, .scoring = scoring});
      CHECK(worst_error<float>(s, 50, 20, {true, true, 0}, layout::compact, each) < 4e-6);
    }
}

TEST_CASE("every layout of logits and gradients") {
  for (const layout how :
       {layout::padded_rows, layout::column_major, layout::every_third, layout::reversed_rows})
    for (const losses& what : {losses{true, false, 0}, losses{true, true, 0.2}}) {
      INFO(support::name_of(how));
      CHECK(worst_error<float>(setting_of({.k = 3}), 35, 20, what, how) < 4e-6);
      CHECK(worst_error<double>(setting_of({.k = 3}), 35, 20, what, how) < 1e-11);
    }
}

TEST_CASE("16-bit logits and gradients") {
  const std::size_t tokens = 20, experts = 24;
  const auto values = support::independent_logits(tokens, experts, 8, 1.5).student;
  const auto upstream = support::independent_logits(tokens, 4, 9, 1).student;
  const guarded_matrix<distill::bfloat16> logits(tokens, values);
  guarded_matrix<float> exact(tokens, experts), g(tokens, upstream);
  guarded_matrix<distill::bfloat16> rounded(tokens, experts);
  routed<float> to(tokens, 4);
  const distill::top_k_gate gate{.k = 4};
  const distill::gate_backward_options options{.z_loss = 0.2};
  gate(logits.view(), to.view());
  gate.backward(logits.view(), to.view(), g.view(), exact.view(), options);
  gate.backward(logits.view(), to.view(), g.view(), rounded.view(), options);
  const setting s = setting_of(gate);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto expected =
        gate_oracle::gradient(s.oracle, exact_row(logits, t), to.row(t), {exact_row(g, t), {}, 0.2L});
    for (std::size_t e = 0; e < experts; ++e) {
      CHECK(std::abs(exact.at(t, e) - static_cast<double>(expected[e])) < 4e-6);
      CHECK(rounded.at(t, e) == support::to_double(distill::bfloat16(static_cast<float>(exact.at(t, e)))));
    }
  }
}

TEST_CASE("the gradient at the chosen experts is the dense one there") {
  on_every_target([] {
    for (const gate_scoring scoring : every_scoring)
      for (const bool accumulate : {false, true}) {
        const setting s = setting_of({.k = 5, .scoring = scoring});
        problem<float> p(s, 37, 50, layout::compact, 1);
        guarded_matrix<float> selected(37, 5);
        selected.fill(0.5);
        p.gradient.fill(0.5);
        const distill::gate_backward_options options{.accumulate = accumulate};
        s.gate.backward(p.logits.view(), p.to.view(), p.upstream.view(), p.gradient.view(), options);
        s.gate.backward_selected(p.logits.view(), p.to.view(), p.upstream.view(), selected.view(), options);
        CHECK(selected.is_intact());
        for (std::size_t t = 0; t < 37; ++t) {
          double sum = 0, total = 0;
          for (std::size_t i = 0; i < 5; ++i) {
            CHECK(selected.at(t, i) == p.gradient.at(t, static_cast<std::size_t>(p.to.row(t)[i])));
            sum += selected.at(t, i);
          }
          for (std::size_t e = 0; e < 50; ++e) total += p.gradient.at(t, e);
          CHECK(std::abs(total - sum - (accumulate ? 0.5 * 45 : 0)) < 1e-5);
        }
      }
  });
}

TEST_CASE("the gradient given for a choice that is none does not matter") {
  on_every_target([] {
    for (const auto& [experts, k] : {std::pair<std::size_t, std::size_t>{8, 2}, {64, 6}}) {
      const guarded_matrix<float> logits(32, support::independent_logits(32, experts, 3, 2).student);
      guarded_matrix<float> upstream(32, support::independent_logits(32, k, 4, 1).student),
          gradient(32, experts);
      routed<float> to(32, k);
      const distill::top_k_gate gate{.k = k};
      gate(logits.view(), to.view());
      for (std::size_t t = 0; t < 32; ++t) {
        to.experts[t * k + k - 1] = -1;
        upstream(t, k - 1) = std::nanf("");
      }
      gate.backward(logits.view(), to.view(), upstream.view(), gradient.view());
      for (std::size_t t = 0; t < 32; ++t)
        for (std::size_t e = 0; e < experts; ++e) CHECK(std::isfinite(gradient.at(t, e)));
    }
  });
}

TEST_CASE("rows that are not finite have no part in slopes, nor does a sum of scores that is held") {
  on_every_target([] {
    for (const std::size_t experts : {std::size_t{8}, std::size_t{64}}) {
      guarded_matrix<float> logits(20, support::independent_logits(20, experts, 3, 2).student),
          gradient(20, experts);
      logits(3, 5) = std::nanf("");  // the others keep their probabilities
      std::vector<double> slopes(experts);
      for (std::size_t e = 0; e < experts; ++e) slopes[e] = static_cast<double>(e) + 1;
      routed<float> to(20, 2);
      distill::top_k_gate gate{.k = 2};
      gate(logits.view(), to.view());
      gate.backward(logits.view(), to.view(), distill::no_weight_gradient, gradient.view(),
                    {.probability_slopes = {slopes.data(), 1, experts}});
      for (std::size_t e = 0; e < experts; ++e) {
        CHECK(gradient.at(3, e) == 0);
        CHECK(gradient.at(4, e) != 0);
      }
      for (std::size_t e = 0; e < experts; ++e) logits(4, e) = e == 1 ? -87.4f : -500.0f;
      gate.scoring = distill::gate_scoring::sigmoid;
      gate.backward(logits.view(), to.view(), distill::no_weight_gradient, gradient.view(),
                    {.probability_slopes = {slopes.data(), 1, experts}});
      const double held = static_cast<double>(std::numeric_limits<float>::min());
      CHECK(std::abs(static_cast<double>(gradient.at(4, 1)) - slopes[1] * std::exp(-87.4) / held) <= 1e-4);
    }
  });
}
