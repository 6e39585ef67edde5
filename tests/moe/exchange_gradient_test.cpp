// Finite differences in double, with random upstream weights, of everything that has a gradient.
#include <catch2/catch.hpp>
#include <distill/moe/capacity.hpp>

#include "moe/exchange_cases.hpp"

using namespace exchange_cases;

namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// d dot(upstream, f) / d x, one entry after the other.
template <class F>
std::vector<double> slopes_of(std::vector<double>& x, const std::vector<double>& upstream, F f) {
  constexpr double step = 1e-5;
  std::vector<double> result;
  for (double& entry : x) {
    const double kept = entry;
    entry = kept + step;
    const double above = dot(upstream, f());
    entry = kept - step;
    const double below = dot(upstream, f());
    entry = kept;
    result.push_back((above - below) / (2 * step));
  }
  return result;
}

void check_near(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i] == Approx(expected[i]).margin(1e-8));
    largest = std::max(largest, std::abs(got[i]));
  }
  CHECK(largest > 1e-3);
}

}  // namespace

TEST_CASE("the gradients of dispatch and combine") {
  constexpr std::size_t width = 11;
  const batch b = random_batch(6, 3, 5, 4, 5);
  stored_order order(b, 40);
  sort(b, order, {.block_size = 2});
  const auto count = static_cast<std::size_t>(order.offsets.back());
  stored_routing<double> routing(b);
  std::vector<double> tokens = normal_values(6 * width, 1), rows = normal_values(count * width, 2);
  const auto up_tokens = normal_values(6 * width, 3), up_rows = normal_values(count * width, 4);
  const auto tokens_view = [](auto& v) { return distill::matrix_view(v.data(), 6, width); };
  const auto rows_view = [&](auto& v) { return distill::matrix_view(v.data(), count, width); };

  const auto dispatch = [&] {
    std::vector<double> out(count * width);
    distill::dispatch_tokens(tokens_view(tokens), order.view, rows_view(out));
    return out;
  };
  std::vector<double> got(6 * width);
  distill::dispatch_tokens_backward(rows_view(up_rows), order.view, tokens_view(got));
  check_near(got, slopes_of(tokens, up_rows, dispatch));

  const auto combine = [&] {
    std::vector<double> out(6 * width);
    distill::combine_tokens(rows_view(rows), routing.view.weights, order.view, tokens_view(out));
    return out;
  };
  std::vector<double> row_gradient(count * width), weight_gradient(18);
  distill::combine_tokens_backward(tokens_view(up_tokens), rows_view(rows), routing.view.weights, order.view,
                                   rows_view(row_gradient),
                                   distill::matrix_view(weight_gradient.data(), 6, 3));
  check_near(row_gradient, slopes_of(rows, up_tokens, combine));
  check_near(weight_gradient, slopes_of(routing.weights, up_tokens, combine));
}

TEST_CASE("the gradient of weights into and out of order") {
  const batch b = random_batch(6, 3, 5, 4, 5);
  stored_order order(b);
  sort(b, order);
  stored_routing<double> routing(b);
  const auto upstream = normal_values(18, 9);
  std::vector<double> got(18);
  distill::weights_from_order(distill::vector_view<const double>(upstream), order.view, {got.data(), 6, 3});
  check_near(got, slopes_of(routing.weights, upstream, [&] {
               std::vector<double> out(18);
               distill::weights_in_order(routing.view.weights, order.view, out);
               return out;
             }));
}

TEST_CASE("the gradient of weights rescaled after a drop") {
  for (const bool rescaled : {false, true}) {
    const batch b = random_batch(12, 3, 5, 14, 8);
    stored_routing<double> routed(b), kept(b);
    distill::capacity limit{.tokens_per_expert = 4};
    if (rescaled) limit.weight_sum = 2.5;
    const auto upstream = normal_values(36, 9);
    const auto forward = [&] {
      limit(routed.view, kept.view, 5);
      return kept.weights;
    };
    forward();
    std::vector<double> got(36, 99);
    limit.backward(routed.view, kept.view, {upstream.data(), 12, 3}, {got.data(), 12, 3});
    check_near(got, slopes_of(routed.weights, upstream, forward));
    std::vector<double> in_place = upstream;
    limit.backward(routed.view, kept.view, {in_place.data(), 12, 3}, {in_place.data(), 12, 3});
    CHECK(in_place == got);
  }
}
