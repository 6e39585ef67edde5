// Gradients of maps, queries, keys and relation vectors against finite differences in double, under every
// mask.
#include <catch2/catch.hpp>
#include <distill/alignment/relation.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"

using namespace attention_cases;
using distill::attention_kl;
using distill::attention_mse;
using distill::no_gradient;
using distill::queries_keys;
using distill::relation;

namespace {

// Compares dL/dx with fourth-order differences of L, entry by entry.
template <class F>
void check_gradient(guarded_tensor<double>& x, const guarded_tensor<double>& gradient, F loss) {
  double largest = 0;
  gradient.for_each([&](auto b, auto h, auto i, auto c) {
    largest = std::max(largest, std::abs(gradient.view()(b, h, i, c)));
  });
  x.for_each([&](auto b, auto h, auto i, auto c) {
    const double at = x(b, h, i, c), step = 1e-3;
    const auto value = [&](double offset) {
      x(b, h, i, c) = at + offset;
      return loss();
    };
    const double slope =
        (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
    x(b, h, i, c) = at;
    CHECK(std::abs(slope - gradient.view()(b, h, i, c)) <= 1e-8 * std::max(largest, 1.0));
  });
}

constexpr std::size_t kBatch = 2, kHeads = 2, kQueries = 4, kKeys = 5, kWidth = 3;

}  // namespace

TEMPLATE_TEST_CASE("gradient of maps", "", attention_kl, attention_mse) {
  for (const masks& mask : every_mask(kBatch, kQueries, kKeys, 3)) {
    guarded_tensor<double> s(random_tensor(kBatch, kHeads, kQueries, kKeys, 1)),
        g(kBatch, kHeads, kQueries, kKeys);
    const guarded_tensor<double> t(random_tensor(kBatch, 2 * kHeads, kQueries, kKeys, 2));
    const TestType loss{.heads = distill::head_map::mean()};
    const auto options = mask.options(kBatch, kQueries, kKeys);
    loss(s.view(), t.view(), g.view(), options);
    CAPTURE(mask.name);
    check_gradient(s, g, [&] { return loss(s.view(), t.view(), no_gradient, options); });
  }
}

TEMPLATE_TEST_CASE("gradients of queries and keys", "", attention_kl, attention_mse) {
  const support::plain_product product;
  for (const masks& mask : every_mask(kBatch, kQueries, kKeys, 5)) {
    guarded_tensor<double> q(random_tensor(kBatch, kHeads, kQueries, kWidth, 1)),
        dq(kBatch, kHeads, kQueries, kWidth);
    guarded_tensor<double> k(random_tensor(kBatch, 1, kKeys, kWidth, 2)), dk(kBatch, 1, kKeys, kWidth);
    const guarded_tensor<double> tq(random_tensor(kBatch, kHeads, kQueries, kWidth + 1, 3));
    const guarded_tensor<double> tk(random_tensor(kBatch, kHeads, kKeys, kWidth + 1, 4));
    auto options = mask.options(kBatch, kQueries, kKeys);
    options.product = product;
    const auto loss = [&] {
      return TestType{}(queries_keys(q.view(), k.view()), queries_keys(tq.view(), tk.view()), no_gradient,
                        options);
    };
    TestType{}(queries_keys(q.view(), k.view()), queries_keys(tq.view(), tk.view()),
               queries_keys(dq.view(), dk.view()), options);
    CAPTURE(mask.name);
    check_gradient(q, dq, loss);
    check_gradient(k, dk, loss);
  }
}

TEST_CASE("gradient of relation vectors") {
  const support::plain_product product;
  for (const std::size_t relation_heads : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{6}})
    for (const masks& mask : every_mask(kBatch, kQueries, kQueries, 7)) {
      guarded_tensor<double> x(random_tensor(kBatch, kHeads, kQueries, kWidth, 1)),
          dx(kBatch, kHeads, kQueries, kWidth);
      const guarded_tensor<double> y(random_tensor(kBatch, kHeads, kQueries, 2 * kWidth, 2));
      auto options = mask.options(kBatch, kQueries, kQueries);
      options.product = product;
      const relation loss{.relation_heads = relation_heads};
      loss(x.view(), y.view(), dx.view(), options);
      CAPTURE(mask.name, relation_heads);
      check_gradient(x, dx, [&] { return loss(x.view(), y.view(), no_gradient, options); });
    }
}
