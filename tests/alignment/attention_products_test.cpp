// attention_kl and attention_mse from queries and keys, against the oracle with the whole map in hand.
#include <catch2/catch.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"
#include "support/larger_error.hpp"

using namespace attention_cases;
using attention_oracle::divisor;
using distill::attention_kl;
using distill::attention_mse;
using distill::head_map;
using distill::queries_keys;

namespace {

struct product_shape {
  std::size_t batch, heads, key_heads, queries, keys, width, teacher_width;
};

// Masked positions of queries and keys hold NaN in the model, 0 for the oracle, which sees no masks in its
// products.
attention_oracle::tensor spoiled(attention_oracle::tensor x, const std::vector<std::uint8_t>& mask,
                                 const std::vector<std::int64_t>& lengths, number with) {
  for (std::size_t b = 0; b < x.batch; ++b)
    for (std::size_t h = 0; h < x.heads; ++h)
      for (std::size_t i = 0; i < x.rows; ++i)
        for (std::size_t c = 0; c < x.columns; ++c)
          if ((!mask.empty() && mask[b * x.rows + i] == 0) ||
              (!lengths.empty() && static_cast<std::int64_t>(i) >= lengths[b]))
            x.at(b, h, i, c) = with;
  return x;
}

template <class S, class T>
struct models {
  attention_oracle::tensor q, k, tq, tk;  // hidden positions are 0
  guarded_tensor<S> student_q, student_k, dq, dk;
  guarded_tensor<T> teacher_q, teacher_k;

  models(const product_shape& e, const masks& mask, std::size_t teacher_heads, memory how)
      : q(random_tensor(e.batch, e.heads, e.queries, e.width, 1, 1)),
        k(random_tensor(e.batch, e.key_heads, e.keys, e.width, 2, 1)),
        tq(random_tensor(e.batch, teacher_heads, e.queries, e.teacher_width, 3, 1)),
        tk(random_tensor(e.batch, teacher_heads, e.keys, e.teacher_width, 4, 1)),
        student_q(hide_queries(q, mask), how),
        student_k(hide_keys(k, mask), how),
        dq(e.batch, e.heads, e.queries, e.width, how),
        dk(e.batch, e.key_heads, e.keys, e.width, how),
        teacher_q(hide_queries(tq, mask), how),
        teacher_k(hide_keys(tk, mask), how) {}

  static attention_oracle::tensor hide_queries(attention_oracle::tensor& x, const masks& mask) {
    auto hidden = spoiled(x, mask.queries, mask.query_lengths, std::numeric_limits<number>::quiet_NaN());
    x = spoiled(x, mask.queries, mask.query_lengths, 0);
    return hidden;
  }
  static attention_oracle::tensor hide_keys(attention_oracle::tensor& x, const masks& mask) {
    auto hidden = spoiled(x, mask.keys, mask.key_lengths, std::numeric_limits<number>::quiet_NaN());
    x = spoiled(x, mask.keys, mask.key_lengths, 0);
    return hidden;
  }
};

template <class Loss, class S, class T = S>
void check(const product_shape& e, const masks& mask, double allowed, memory how = memory::compact) {
  models<S, T> m(e, mask, e.heads, how);
  const support::plain_product product;
  auto options = mask.options(e.batch, e.queries, e.keys);
  options.product = product;
  std::vector<double> row_values(e.batch * e.heads * e.queries, -1);
  options.row_values = row_values;
  const double value = Loss{}(queries_keys(m.student_q.view(), m.student_k.view()),
                              queries_keys(m.teacher_q.view(), m.teacher_k.view(), 0.3),
                              queries_keys(m.dq.view(), m.dk.view()), options);
  const number scale = 1 / std::sqrt(static_cast<number>(e.width));
  const auto expected = of_maps(formula_of<Loss>, scores(m.q, m.k, scale), scores(m.tq, m.tk, 0.3L),
                                mask.visible(e.queries, e.keys));
  attention_oracle::tensor dq, dk;
  backward(expected.gradient, m.q, m.k, scale, dq, dk);
  CAPTURE(mask.name, e.queries, e.keys, e.key_heads, static_cast<int>(how));
  CHECK(deviation(value, expected.value) <= allowed);
  CHECK(deviation(m.dq.exact(), dq) <= allowed);
  CHECK(deviation(m.dk.exact(), dk) <= allowed);
  CHECK(m.dq.is_intact());
  CHECK(m.dk.is_intact());
  number worst = 0;
  for (std::size_t row = 0; row < row_values.size(); ++row)
    worst = support::larger_error(worst, std::abs(row_values[row] - expected.row_values[row]));
  CHECK(worst <= allowed * 100);
  options.row_values = {};
  CHECK(Loss{}(queries_keys(m.student_q.view(), m.student_k.view()),
               queries_keys(m.teacher_q.view(), m.teacher_k.view(), 0.3), distill::no_gradient,
               options) == value);
}

}  // namespace

TEMPLATE_TEST_CASE("products: every mask against the oracle", "", attention_kl, attention_mse) {
  for (const product_shape& e :
       {product_shape{2, 2, 2, 9, 9, 4, 6}, product_shape{2, 4, 2, 7, 40, 5, 3},
        product_shape{2, 1, 1, 150, 160, 8, 4}, product_shape{1, 3, 1, 20, 11, 4, 4}})
    for (const masks& mask : every_mask(e.batch, e.queries, e.keys, 17)) {
      check<TestType, double>(e, mask, 1e-11);
      check<TestType, float>(e, mask, 1e-5);
    }
}

TEMPLATE_TEST_CASE("products: more rows than a tile", "", attention_kl, attention_mse) {
  for (const masks& mask : every_mask(1, 140, 1300, 19))
    check<TestType, float>({1, 1, 1, 140, 1300, 4, 3}, mask, 1e-5);
}

TEMPLATE_TEST_CASE("products: every memory layout", "", attention_kl, attention_mse) {
  for (const memory how : {memory::heads_inside, memory::padded, memory::keys_strided})
    for (const masks& mask : every_mask(2, 21, 30, 23))
      check<TestType, float>({2, 4, 2, 21, 30, 4, 6}, mask, 1e-5, how);
}

TEMPLATE_TEST_CASE("products: student and teacher of different precision", "", attention_kl, attention_mse) {
  for (const masks& mask : every_mask(2, 21, 30, 23)) {
    check<TestType, float, double>({2, 2, 2, 21, 30, 4, 6}, mask, 1e-5);
    check<TestType, double, float>({2, 2, 2, 21, 30, 4, 6}, mask, 1e-5);
  }
}

TEMPLATE_TEST_CASE("products: teacher heads", "", attention_kl, attention_mse) {
  const support::plain_product product;
  const std::vector<std::vector<std::size_t>> grouped = {{0, 1, 2}, {3, 4, 5}}, selected = {{4}, {1}};
  for (const auto& [map, list] :
       {std::pair{head_map::mean(), grouped}, std::pair{head_map::selection({4, 1}), selected}})
    for (const masks& mask : every_mask(2, 15, 20, 29)) {
      models<double, double> m({2, 2, 1, 15, 20, 4, 5}, mask, 6, memory::compact);
      auto options = mask.options(2, 15, 20);
      options.product = product;
      const double value = TestType{.heads = map}(queries_keys(m.student_q.view(), m.student_k.view(), 1.5),
                                                  queries_keys(m.teacher_q.view(), m.teacher_k.view()),
                                                  queries_keys(m.dq.view(), m.dk.view()), options);
      const auto expected =
          of_maps(formula_of<TestType>, scores(m.q, m.k, 1.5L), scores(m.tq, m.tk, 1 / std::sqrt(5.0L)),
                  mask.visible(15, 20), [&list = list](std::size_t head) { return list[head]; });
      attention_oracle::tensor dq, dk;
      backward(expected.gradient, m.q, m.k, 1.5L, dq, dk);
      CAPTURE(mask.name);
      CHECK(deviation(value, expected.value) < 1e-12);
      CHECK(deviation(m.dq.exact(), dq) < 1e-12);
      CHECK(deviation(m.dk.exact(), dk) < 1e-12);
    }
}

TEST_CASE("products: tiles agree with the map, and accumulate") {
  const masks mask = every_mask(2, 40, 50, 31).back();
  models<double, double> m({2, 3, 3, 40, 50, 6, 6}, masks{}, 3, memory::compact);
  const support::plain_product product;
  auto options = mask.options(2, 40, 50);
  const guarded_tensor<double> student(scores(m.q, m.k, 0.5L)), teacher(scores(m.tq, m.tk, 0.25L));
  guarded_tensor<double> slope(2, 3, 40, 50);
  options.denominator = 7;
  const double of_map = attention_kl{}(student.view(), teacher.view(), slope.view(), options);
  options.product = product;
  const queries_keys model(m.student_q.view(), m.student_k.view(), 0.5),
      from(m.teacher_q.view(), m.teacher_k.view(), 0.25);
  const queries_keys gradient(m.dq.view(), m.dk.view());
  CHECK(attention_kl{}(model, from, gradient, options) == Approx(of_map).epsilon(1e-13));
  attention_oracle::tensor dq, dk;
  backward(slope.exact(), m.q, m.k, 0.5L, dq, dk);
  CHECK(deviation(m.dq.exact(), dq) < 1e-12);
  options.accumulate = true;
  attention_kl{}(model, from, gradient, options);
  for (auto* x : {&dq, &dk})
    for (number& each : x->values) each *= 2;
  CHECK(deviation(m.dq.exact(), dq) < 1e-12);
  CHECK(deviation(m.dk.exact(), dk) < 1e-12);
}

TEST_CASE("products: queries and keys packed in one buffer, and their gradients") {
  // [batch, positions, 3, heads, width]: queries, keys and values side by side.
  constexpr std::size_t batch = 2, positions = 6, heads = 2, width = 4, step = 3 * heads * width;
  std::vector<double> packed(batch * positions * step), slopes(packed.size(), -7);
  support::random_source random(5);
  for (double& x : packed) x = random.normal();
  const auto slice = [&](std::vector<double>& memory, std::size_t which) {
    return distill::tensor_view<double>(memory.data() + which * heads * width,
                                        {batch, heads, positions, width}, {positions * step, width, step, 1});
  };
  models<double, double> m({batch, heads, heads, positions, positions, width, width}, masks{}, heads,
                           memory::compact);
  for (const std::size_t which : {0u, 1u}) {
    auto& x = which == 0 ? m.student_q : m.student_k;
    x.for_each([&](auto b, auto h, auto i, auto c) { x(b, h, i, c) = slice(packed, which)(b, h, i, c); });
  }
  const support::plain_product product;
  distill::attention_options options;
  options.product = product;
  const queries_keys teacher(m.teacher_q.view(), m.teacher_k.view());
  const double value = attention_kl{}(queries_keys(slice(packed, 0), slice(packed, 1)), teacher,
                                      queries_keys(slice(slopes, 0), slice(slopes, 1)), options);
  CHECK(value == attention_kl{}(queries_keys(m.student_q.view(), m.student_k.view()), teacher,
                                queries_keys(m.dq.view(), m.dk.view()), options));
  m.dq.for_each([&](auto b, auto h, auto i, auto c) {
    CHECK(slice(slopes, 0)(b, h, i, c) == m.dq(b, h, i, c));
    CHECK(slice(slopes, 1)(b, h, i, c) == m.dk(b, h, i, c));
    CHECK(slice(slopes, 2)(b, h, i, c) == -7);
  });
}
