// Masks, statistics, replay, jitter, noise, accumulation: each option does what it says, whoever runs the
// tokens.
#include <numeric>

#include "moe/gate_cases.hpp"
#include "support/block_executor.hpp"

using namespace gate_cases;
using distill::gate_scoring;

namespace {

struct counted {
  std::vector<std::int64_t> assignments;
  std::vector<double> sums;
  distill::router_statistics statistics;

  explicit counted(std::size_t experts, bool with_sums = true)
      : assignments(experts), sums(with_sums ? experts : 0) {
    statistics.assignments = assignments;
    if (with_sums) statistics.probability_sums = sums;
  }
};

struct batch {
  std::size_t tokens, experts;
  guarded_matrix<float> logits;
  std::vector<float> mask;

  batch(std::size_t tokens_, std::size_t experts_)
      : tokens(tokens_),
        experts(experts_),
        logits(tokens, support::independent_logits(tokens, experts, 3, 2).student) {
    for (std::size_t t = 0; t < tokens; ++t) mask.push_back(t % 3 == 1 ? 0.0f : 1.0f);
  }
  // Whatever stands there must not matter.
  void spoil_masked() {
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t e = 0; e < experts && mask[t] == 0; ++e) logits(t, e) = std::nanf("");
  }
};

template <class T>
std::vector<unsigned char> bytes_of(const std::vector<T>& v) {
  const auto* p = reinterpret_cast<const unsigned char*>(v.data());
  return {p, p + v.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("masked tokens: no expert, weight and gradient 0, not counted, whatever their logits hold") {
  on_every_target([] {
    for (const auto& [experts, k] : {std::pair<std::size_t, std::size_t>{8, 2}, {100, 8}, {40, 12}})
      for (const bool renormalize : {false, true}) {
        batch b(50, experts);
        b.spoil_masked();
        const distill::top_k_gate gate{.k = k, .renormalize = renormalize};
        routed<float> to(50, k);
        counted c(experts);
        gate(b.logits.view(), to.view(), {.token_mask = b.mask, .statistics = &c.statistics});
        guarded_matrix<float> g(50, support::independent_logits(50, k, 4, 1).student), gradient(50, experts);
        gradient.fill(7);
        gate.backward(b.logits.view(), to.view(), g.view(), gradient.view(),
                      {.token_mask = b.mask, .z_loss = 0.1});
        for (std::size_t t = 0; t < 50; ++t)
          for (std::size_t i = 0; i < k; ++i) {
            CHECK((to.row(t)[i] == -1) == (b.mask[t] == 0));
            CHECK((to.weights.at(t, i) == 0) == (b.mask[t] == 0));
            CHECK(std::isfinite(gradient.at(t, i)));
            if (b.mask[t] == 0) CHECK(gradient.at(t, i) == 0);
          }
        CHECK(c.statistics.tokens == 33);
        CHECK(c.statistics.bad_rows == 0);
        CHECK(std::accumulate(c.assignments.begin(), c.assignments.end(), std::int64_t{0}) ==
              static_cast<std::int64_t>(33 * k));
      }
  });
}

TEST_CASE("statistics against the oracle, added to what is there") {
  on_every_target([] {
    for (const gate_scoring scoring : every_scoring)
      for (const auto& [tokens, experts, k] : {std::tuple<std::size_t, std::size_t, std::size_t>{300, 8, 2},
                                               {70, 100, 8},
                                               {70, 20, 10},
                                               {1, 64, 6}}) {
        batch b(tokens, experts);
        b.logits(0, 0) = std::nanf("");
        const setting s = setting_of({.k = k, .scoring = scoring});
        routed<float> to(tokens, k);
        counted c(experts), without_sums(experts, false);
        c.assignments[1] = 1000, c.sums[1] = 1000, c.statistics.tokens = 5, c.statistics.bad_rows = 2;
        s.gate(b.logits.view(), to.view(), {.token_mask = b.mask, .statistics = &c.statistics});
        s.gate(b.logits.view(), to.view(), {.token_mask = b.mask, .statistics = &without_sums.statistics});
        std::vector<std::int64_t> assignments(experts);
        std::vector<long double> sums(experts);
        long double squares = 0;
        std::int64_t count = 0;
        for (std::size_t t = 0; t < tokens; ++t) {
          if (b.mask[t] == 0) continue;
          for (const std::int32_t id : to.row(t)) ++assignments[static_cast<std::size_t>(id)];
          if (t == 0) continue;  // not finite
          ++count;
          const gate_oracle::row z = exact_row(b.logits, t), p = gate_oracle::probabilities(s.oracle, z);
          for (std::size_t e = 0; e < experts; ++e) sums[e] += p[e];
          squares += gate_oracle::log_sum_exp(s.oracle, z) * gate_oracle::log_sum_exp(s.oracle, z);
        }
        CAPTURE(text_of(s.gate), tokens, experts);
        CHECK(without_sums.assignments == assignments);
        CHECK(without_sums.statistics.squared_log_sum_exp == 0);
        assignments[1] += 1000, sums[1] += 1000;
        CHECK(c.assignments == assignments);
        CHECK(c.statistics.tokens == count + 5);
        CHECK(c.statistics.bad_rows == 3);
        CHECK(std::abs(c.statistics.squared_log_sum_exp - static_cast<double>(squares)) <=
              1e-6 * static_cast<double>(squares));
        for (std::size_t e = 0; e < experts; ++e)
          CHECK(std::abs(c.sums[e] - static_cast<double>(sums[e])) <=
                2e-6 * static_cast<double>(sums[e]) + 1e-6);
      }
  });
}

TEST_CASE("statistics of sequences: each as if it were alone, and all of them together") {
  on_every_target([] {
    constexpr std::size_t experts = 10, sequences = 3;
    for (const gate_scoring scoring : {gate_scoring::softmax_then_top_k, gate_scoring::sigmoid})
      for (const std::size_t length : {1, 5, 64, 65, 130}) {
        const std::size_t tokens = sequences * length;
        batch b(tokens, experts);
        b.logits(length / 2, 3) = std::nanf("");
        const distill::top_k_gate gate{.k = 3, .scoring = scoring};
        routed<float> to(tokens, 3);
        std::vector<std::int64_t> assignments(sequences * experts, 7), counts(sequences, 4);
        std::vector<double> sums(sequences * experts);
        const distill::sequence_statistics each{
            {assignments.data(), sequences, experts}, {sums.data(), sequences, experts}, counts};
        counted all(experts), expected(experts);
        gate(b.logits.view(), to.view(),
             {.token_mask = b.mask, .statistics = &all.statistics, .sequences = &each});
        gate(b.logits.view(), to.view(), {.token_mask = b.mask, .statistics = &expected.statistics});
        CHECK(all.assignments == expected.assignments);
        CHECK(all.statistics.bad_rows == expected.statistics.bad_rows);
        CHECK(all.statistics.squared_log_sum_exp == Approx(expected.statistics.squared_log_sum_exp));
        for (std::size_t s = 0; s < sequences; ++s) {
          counted alone(experts);
          const auto rows = [&](const auto& m) {
            return distill::matrix_view(&m(s * length, 0), length, m.columns(), m.stride(0), m.stride(1));
          };
          gate(rows(b.logits.view()), distill::routing{rows(to.view().experts), rows(to.view().weights)},
               {.token_mask = {b.mask.data() + s * length, length}, .statistics = &alone.statistics});
          CAPTURE(length, s);
          CHECK(counts[s] == alone.statistics.tokens + 4);
          for (std::size_t e = 0; e < experts; ++e) {
            CHECK(assignments[s * experts + e] == alone.assignments[e] + 7);
            CHECK(sums[s * experts + e] == alone.sums[e]);
          }
        }
        const distill::sequence_statistics only_counts{{assignments.data(), sequences, experts}, {}, counts};
        gate(b.logits.view(), to.view(), {.sequences = &only_counts});
        CHECK(std::accumulate(assignments.begin(), assignments.end(), std::int64_t{0}) ==
              std::accumulate(all.assignments.begin(), all.assignments.end(), std::int64_t{0}) +
                  static_cast<std::int64_t>(7 * sequences * experts + 3 * tokens));
      }
  });
}

TEST_CASE("the executor leaves no trace in routing, statistics and gradients") {
  struct extents {
    std::size_t tokens, experts, k;
  };
  for (const extents& x : {extents{1000, 8, 2}, {700, 64, 6}, {333, 100, 12}}) {
    const std::size_t tokens = x.tokens, experts = x.experts, k = x.k;
    const batch b(tokens, experts);
    const distill::top_k_gate gate{.k = k, .jitter = experts == 64 ? 0.1 : 0};
    const guarded_matrix<float> g(tokens, support::independent_logits(tokens, k, 4, 1).student);
    const std::vector<double> slopes(experts, 0.25);
    const auto run = [&](const distill::executor_ref& executor) {
      routed<float> to(tokens, k);
      counted c(experts);
      std::vector<std::int64_t> assignments(experts), count(1);
      std::vector<double> sums(experts);
      const distill::sequence_statistics each{
          {assignments.data(), 1, experts}, {sums.data(), 1, experts}, count};
      guarded_matrix<float> gradient(tokens, experts);
      gate(b.logits.view(), to.view(),
           {.token_mask = b.mask, .statistics = &c.statistics, .sequences = &each, .executor = executor});
      gate.backward(b.logits.view(), to.view(), g.view(), gradient.view(),
                    {.token_mask = b.mask,
                     .probability_slopes = {slopes.data(), 1, experts},
                     .z_loss = 0.1,
                     .executor = executor});
      std::vector<unsigned char> bits = to.weights.bits();
      for (const auto& more :
           {bytes_of(to.experts), gradient.bits(), bytes_of(c.assignments), bytes_of(c.sums), bytes_of(sums),
            bytes_of(std::vector<double>{c.statistics.squared_log_sum_exp})})
        bits.insert(bits.end(), more.begin(), more.end());
      return bits;
    };
    const auto expected = run({});
    for (const std::size_t workers : {1, 2, 3})
      for (const std::size_t block : {1, 5, 64}) {
        support::block_executor executor(workers, block);
        CAPTURE(tokens, experts, workers, block);
        CHECK(run(executor) == expected);
      }
  }
}

TEST_CASE("replayed experts: the weights of the given ones, none has no part") {
  on_every_target([] {
    for (const gate_scoring scoring : every_scoring)
      for (const bool renormalize : {false, true}) {
        const setting s = setting_of({.k = 3, .scoring = scoring, .renormalize = renormalize});
        const batch b(20, 10);
        routed<float> to(20, 3);
        for (std::size_t i = 0; i < 60; ++i)
          to.experts[i] = static_cast<std::int32_t>(i % 7 == 6 ? -1 : (i * 3) % 10);
        for (std::size_t i = 6; i < 9; ++i) to.experts[i] = -1;
        const std::vector<std::int32_t> given = to.experts;
        s.gate.replay(b.logits.view(), to.view());
        CHECK(to.experts == given);
        guarded_matrix<float> g(20, support::independent_logits(20, 3, 4, 1).student), gradient(20, 10);
        s.gate.backward(b.logits.view(), to.view(), g.view(), gradient.view());
        for (std::size_t t = 0; t < 20; ++t) {
          const gate_oracle::row z = exact_row(b.logits, t), w = gate_oracle::weights(s.oracle, z, to.row(t));
          for (std::size_t i = 0; i < 3; ++i)
            CHECK(std::abs(to.weights.at(t, i) - static_cast<double>(w[i])) < 1e-6);
          const auto expected = gate_oracle::gradient(s.oracle, z, to.row(t), {exact_row(g, t), {}, 0});
          for (std::size_t e = 0; e < 10; ++e)
            CHECK(std::abs(gradient.at(t, e) - static_cast<double>(expected[e])) < 4e-6);
        }
      }
  });
}

TEST_CASE("jitter and noise: the gate of the changed logits, and the gradient through them") {
  on_every_target([] {
    const batch b(30, 24);
    std::vector<float> deviations(30 * 24);
    for (std::size_t i = 0; i < deviations.size(); ++i) deviations[i] = 0.01f * static_cast<float>(i % 50);
    const distill::random_stream random{.seed = 11, .step = 4};
    for (const auto& [jitter, noise] : {std::pair{0.3, 0.0}, {0.0, 0.7}, {0.2, 0.5}}) {
      const distill::top_k_gate plain{.k = 4}, gate{.k = 4, .jitter = jitter, .noise = noise};
      guarded_matrix<float> changed(30, 24), g(30, support::independent_logits(30, 4, 4, 1).student);
      guarded_matrix<float> factor(30, 24), gradient(30, 24), expected(30, 24), selected(30, 4);
      for (std::size_t t = 0; t < 30; ++t)
        for (std::size_t e = 0; e < 24; ++e) {
          factor(t, e) = static_cast<float>(jitter > 0 ? 1 + jitter * (2 * random.uniform(t, e) - 1) : 1);
          const double moved = noise > 0 ? noise * deviations[t * 24 + e] * random.normal(t, e) : 0;
          const double f = jitter > 0 ? 1 + jitter * (2 * random.uniform(t, e) - 1) : 1;
          changed(t, e) = static_cast<float>(b.logits.at(t, e) * f + moved);
        }
      routed<float> to(30, 4), from(30, 4);
      counted c(24), d(24);
      const distill::matrix_view<const float> sigma(deviations.data(), 30, 24);
      gate(b.logits.view(), to.view(),
           {.statistics = &c.statistics, .random = random, .noise_deviation = sigma});
      plain(changed.view(), from.view(), {.statistics = &d.statistics});
      CHECK(to.experts == from.experts);
      for (std::size_t e = 0; e < 24; ++e) CHECK(std::abs(c.sums[e] - d.sums[e]) < 1e-5);
      gate.backward(b.logits.view(), to.view(), g.view(), gradient.view(),
                    {.z_loss = 0.1, .random = random, .noise_deviation = sigma});
      plain.backward(changed.view(), from.view(), g.view(), expected.view(), {.z_loss = 0.1});
      for (std::size_t t = 0; t < 30; ++t)
        for (std::size_t e = 0; e < 24; ++e)
          CHECK(std::abs(gradient.at(t, e) - expected.at(t, e) * factor.at(t, e)) < 1e-6);
      gate.backward(b.logits.view(), to.view(), g.view(), gradient.view(),
                    {.random = random, .noise_deviation = sigma});
      gate.backward_selected(b.logits.view(), to.view(), g.view(), selected.view(),
                             {.random = random, .noise_deviation = sigma});
      for (std::size_t t = 0; t < 30; ++t)
        for (std::size_t i = 0; i < 4; ++i)
          CHECK(selected.at(t, i) == gradient.at(t, static_cast<std::size_t>(to.row(t)[i])));
      routed<float> other(30, 4);
      gate(b.logits.view(), other.view(), {.random = {.seed = 11, .step = 5}, .noise_deviation = sigma});
      CHECK(other.weights.bits() != to.weights.bits());
    }
  });
}

TEST_CASE("gradients are added where asked, to every element type") {
  const batch b(20, 16);
  const distill::top_k_gate gate{.k = 2};
  routed<float> to(20, 2);
  gate(b.logits.view(), to.view());
  guarded_matrix<float> g(20, support::independent_logits(20, 2, 4, 1).student), once(20, 16), twice(20, 16);
  guarded_matrix<double> wide(20, 16);
  gate.backward(b.logits.view(), to.view(), g.view(), once.view(), {.z_loss = 0.1});
  gate.backward(b.logits.view(), to.view(), g.view(), twice.view(), {.z_loss = 0.1});
  gate.backward(b.logits.view(), to.view(), g.view(), twice.view(), {.z_loss = 0.1, .accumulate = true});
  wide.fill(1);
  gate.backward(b.logits.view(), to.view(), g.view(), wide.view(), {.z_loss = 0.1, .accumulate = true});
  for (std::size_t t = 0; t < 20; ++t)
    for (std::size_t e = 0; e < 16; ++e) {
      CHECK(twice.at(t, e) == 2 * once.at(t, e));
      CHECK(std::abs(wide.at(t, e) - 1 - once.at(t, e)) < 2e-6);
    }
}

TEST_CASE("a workspace is reused, and no tokens are nothing") {
  distill::workspace memory;
  const batch b(40, 30);
  const distill::top_k_gate gate{.k = 3};
  routed<float> to(40, 3), fresh(40, 3);
  gate(b.logits.view(), to.view(), {.workspace = &memory});
  const std::size_t size = memory.size();
  CHECK(size > 0);
  gate(b.logits.view(), to.view(), {.workspace = &memory});
  CHECK(memory.size() == size);
  gate(b.logits.view(), fresh.view());
  CHECK(to.weights.bits() == fresh.weights.bits());
  counted c(30);
  const distill::routing<float> none{{to.experts.data(), 0, 3}, {nullptr, 0, 3}};
  gate(distill::matrix_view<const float>(nullptr, 0, 30), none, {.statistics = &c.statistics});
  CHECK(c.statistics.tokens == 0);
}
