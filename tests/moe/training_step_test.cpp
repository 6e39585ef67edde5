// Gate, dispatch, combine and balance losses together: the gradient of a whole layer's loss.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/moe/balance_backward.hpp>
#include <distill/moe/count_statistics.hpp>
#include <distill/moe/expert_order.hpp>
#include <distill/moe/gate_scoring.hpp>
#include <distill/moe/router_statistics.hpp>
#include <distill/moe/routing.hpp>
#include <distill/moe/switch_loss.hpp>
#include <distill/moe/token_exchange.hpp>
#include <distill/moe/top_k_gate.hpp>
#include <distill/view/matrix_view.hpp>
#include <random>
#include <vector>

namespace {

constexpr std::size_t tokens = 37, experts = 9, k = 3, width = 5;
constexpr double switch_coefficient = 0.3, z_coefficient = 0.2;

struct layer {
  std::vector<double> logits, token_rows, expert_scales, upstream;
  std::vector<std::int32_t> ids = std::vector<std::int32_t>(tokens * k);
  std::vector<double> weights = std::vector<double>(tokens * k);
  std::vector<std::int64_t> offsets = std::vector<std::int64_t>(experts + 1),
                            rows = std::vector<std::int64_t>(tokens * k);
  std::vector<double> inputs = std::vector<double>(tokens * k * width), outputs = inputs;
  std::vector<std::int64_t> assignments = std::vector<std::int64_t>(experts);
  std::vector<double> probability_sums = std::vector<double>(experts), slopes = probability_sums;
  std::vector<std::int32_t> order_tokens = std::vector<std::int32_t>(tokens * k);
  std::int64_t counted = 0;

  layer() {
    std::mt19937_64 engine(7);
    std::normal_distribution<double> normal;
    for (auto [v, n] : {std::pair{&logits, tokens * experts}, std::pair{&token_rows, tokens * width},
                        std::pair{&expert_scales, experts * width}, std::pair{&upstream, tokens * width}})
      for (std::size_t i = 0; i < n; ++i) v->push_back(normal(engine));
  }

  distill::matrix_view<const double> router() const { return {logits.data(), tokens, experts}; }
  distill::routing<double> route() {
    return {distill::matrix_view(ids.data(), tokens, k), distill::matrix_view(weights.data(), tokens, k)};
  }
  distill::expert_order order() {
    return {.offsets = offsets, .tokens = order_tokens, .rows = distill::matrix_view(rows.data(), tokens, k)};
  }
  distill::matrix_view<double> at(std::vector<double>& v, std::size_t count) {
    return {v.data(), count, width};
  }

  // Expert e multiplies feature c by expert_scales(e, c).
  void run_experts() {
    for (std::size_t e = 0; e < experts; ++e)
      for (auto r = static_cast<std::size_t>(offsets[e]); r < static_cast<std::size_t>(offsets[e + 1]); ++r)
        for (std::size_t c = 0; c < width; ++c)
          outputs[r * width + c] = inputs[r * width + c] * expert_scales[e * width + c];
  }

  // Σ upstream · layer(tokens) + switch loss + z-loss.
  double loss(const distill::top_k_gate& gate) {
    assignments.assign(experts, 0), probability_sums.assign(experts, 0);
    distill::router_statistics statistics{.assignments = assignments, .probability_sums = probability_sums};
    gate(router(), route(), {.statistics = &statistics});
    distill::order_by_expert(route().experts, order());
    distill::dispatch_tokens(at(token_rows, tokens), order(), at(inputs, tokens * k));
    run_experts();
    std::vector<double> combined(tokens * width);
    distill::combine_tokens(at(outputs, tokens * k), route().weights, order(), at(combined, tokens));
    double total =
        distill::switch_loss{.coefficient = switch_coefficient, .experts_per_token = k}(statistics, slopes) +
        z_coefficient * statistics.squared_log_sum_exp / static_cast<double>(statistics.tokens);
    for (std::size_t i = 0; i < combined.size(); ++i) total += upstream[i] * combined[i];
    counted = statistics.tokens;
    return total;
  }

  std::vector<double> gradient(const distill::top_k_gate& gate) {
    loss(gate);
    std::vector<double> row_gradient(tokens * k * width), weight_gradient(tokens * k),
        result(tokens * experts);
    distill::combine_tokens_backward(at(upstream, tokens), at(outputs, tokens * k), route().weights, order(),
                                     at(row_gradient, tokens * k),
                                     distill::matrix_view(weight_gradient.data(), tokens, k));
    gate.backward(router(), route(), distill::matrix_view(weight_gradient.data(), tokens, k),
                  distill::matrix_view(result.data(), tokens, experts),
                  {.probability_slopes = distill::matrix_view<const double>(slopes.data(), 1, experts),
                   .z_loss = z_coefficient / static_cast<double>(counted)});
    return result;
  }
};

}  // namespace

TEST_CASE("the gradient of a layer with balance losses is the derivative of its loss") {
  for (const auto scoring : {distill::gate_scoring::softmax_then_top_k, distill::gate_scoring::sigmoid})
    for (const bool renormalize : {true, false}) {
      const distill::top_k_gate gate{
          .k = k, .scoring = scoring, .renormalize = renormalize, .scaling_factor = 1.5};
      layer l;
      const std::vector<double> gradient = l.gradient(gate);
      double largest = 0;
      for (std::size_t i = 0; i < gradient.size(); i += 7) {
        constexpr double step = 1e-5;
        const double kept = l.logits[i];
        l.logits[i] = kept + step;
        const double above = l.loss(gate);
        l.logits[i] = kept - step;
        const double below = l.loss(gate);
        l.logits[i] = kept;
        INFO("logit " << i);
        CHECK(gradient[i] == Approx((above - below) / (2 * step)).margin(1e-8).epsilon(1e-6));
        largest = std::max(largest, std::abs(gradient[i]));
      }
      CHECK(largest > 0.1);
    }
}

TEST_CASE("a gate counts what count_assignments finds in its routing") {
  layer l;
  l.logits[4] = std::nan("");
  l.loss({.k = k});
  std::vector<std::int64_t> found(experts);
  distill::count_assignments(l.route().experts, found);
  CHECK(l.assignments == found);
  CHECK(l.counted == static_cast<std::int64_t>(tokens) - 1);
}
