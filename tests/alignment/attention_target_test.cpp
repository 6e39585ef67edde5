// Every SIMD target this processor runs.
#include <catch2/catch.hpp>
#include <distill/alignment/relation.hpp>
#include <distill/dispatch.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"
#include "support/every_target.hpp"

using namespace attention_cases;
using distill::attention_kl;
using distill::attention_mse;
using distill::queries_keys;

namespace {

template <class Loss>
void check_maps(std::size_t keys, const masks& mask) {
  const auto kind =
      std::is_same_v<Loss, attention_kl> ? attention_oracle::formula::kl : attention_oracle::formula::mse;
  const guarded_tensor<float> s(random_tensor(2, 2, 5, keys, 1)), t(random_tensor(2, 2, 5, keys, 2));
  guarded_tensor<float> g(2, 2, 5, keys);
  const double value = Loss{}(s.view(), t.view(), g.view(), mask.options(2, 5, keys));
  const auto expected = of_maps(kind, s.exact(), t.exact(), mask.visible(5, keys));
  CAPTURE(keys, mask.name);
  CHECK(deviation(value, expected.value) < 2e-6);
  CHECK(deviation(g.exact(), expected.gradient) < 2e-6);
  CHECK(g.is_intact());
}

void check_products(std::size_t keys, const masks& mask) {
  const auto q = random_tensor(2, 2, 5, 4, 1, 1), k = random_tensor(2, 2, keys, 4, 2, 1);
  const auto tq = random_tensor(2, 2, 5, 4, 3, 1), tk = random_tensor(2, 2, keys, 4, 4, 1);
  const guarded_tensor<float> sq(q), sk(k), ttq(tq), ttk(tk);
  guarded_tensor<float> gq(2, 2, 5, 4), gk(2, 2, keys, 4);
  const support::plain_product product;
  auto options = mask.options(2, 5, keys);
  options.product = product;
  const double value =
      attention_kl{}(queries_keys(sq.view(), sk.view()), queries_keys(ttq.view(), ttk.view()),
                     queries_keys(gq.view(), gk.view()), options);
  const auto expected =
      of_maps(attention_oracle::formula::kl, scores(q, k, 0.5L), scores(tq, tk, 0.5L), mask.visible(5, keys));
  attention_oracle::tensor dq, dk;
  backward(expected.gradient, q, k, 0.5L, dq, dk);
  CAPTURE(keys, mask.name);
  CHECK(deviation(value, expected.value) < 1e-5);
  CHECK(deviation(gq.exact(), dq) < 1e-5);
  CHECK(deviation(gk.exact(), dk) < 1e-5);
}

}  // namespace

TEST_CASE("attention on every target") {
  const support::restored_target restore;
  for (const std::string& target : distill::available_targets()) {
    distill::force_target(target);
    INFO("target " << target);
    REQUIRE(distill::active_target() == target);
    for (const std::size_t keys : {5u, 7u, 8u, 9u, 15u, 16u, 17u, 33u, 130u, 517u})
      for (const masks& mask : every_mask(2, 5, keys, keys)) {
        check_maps<attention_kl>(keys, mask);
        check_maps<attention_mse>(keys, mask);
        check_products(keys, mask);
      }
  }
}
