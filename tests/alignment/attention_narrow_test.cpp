// Queries, keys and relation vectors of 16 bits: what their float copies give, bit for bit, under every mask,
// in every layout, on every target; and finite differences of what they stand for.
#include <catch2/catch.hpp>
#include <distill/alignment/relation.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"

using namespace attention_cases;
using distill::attention_kl;
using distill::attention_mse;
using distill::bfloat16;
using distill::float16;
using distill::no_gradient;
using distill::queries_keys;
using distill::relation;

namespace {

/// Random entries that T holds exactly; NaN where `hidden` says that nobody may read.
template <class T>
attention_oracle::tensor entries(std::size_t b, std::size_t h, std::size_t r, std::size_t c,
                                 std::uint64_t seed,
                                 const std::function<bool(std::size_t, std::size_t)>& hidden) {
  attention_oracle::tensor x = random_tensor(b, h, r, c, seed, 1);
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const std::size_t position = i / c % r, sample = i / (h * r * c);
    x.values[i] = support::to_double(support::from_double<T>(static_cast<double>(x.values[i])));
    if (hidden(sample, position)) x.values[i] = std::numeric_limits<number>::quiet_NaN();
  }
  return x;
}

struct narrow_shape {
  std::size_t batch, heads, key_heads, queries, keys, width, teacher_width;
};

std::function<bool(std::size_t, std::size_t)> hidden_by(const std::vector<std::uint8_t>& mask,
                                                        const std::vector<std::int64_t>& lengths,
                                                        std::size_t positions) {
  return [&mask, &lengths, positions](std::size_t sample, std::size_t i) {
    return (!mask.empty() && mask[sample * positions + i] == 0) ||
           (!lengths.empty() && static_cast<std::int64_t>(i) >= lengths[sample]);
  };
}

template <class From, class To>
void expect_rounded(guarded_tensor<From>& exact, guarded_tensor<To>& got, double before = 0) {
  std::size_t differ = 0;
  exact.for_each([&](auto b, auto h, auto i, auto c) {
    const To expected = To(static_cast<float>(before) + static_cast<float>(exact(b, h, i, c)));
    differ += support::to_double(expected) != support::to_double(got(b, h, i, c)) ? 1 : 0;
  });
  CHECK(differ == 0);
  CHECK(got.is_intact());
}

template <class Loss, class S, class T>
void check(const narrow_shape& e, const masks& mask, memory how) {
  const auto queries = hidden_by(mask.queries, mask.query_lengths, e.queries),
             keys = hidden_by(mask.keys, mask.key_lengths, e.keys);
  const auto q = entries<S>(e.batch, e.heads, e.queries, e.width, 1, queries),
             k = entries<S>(e.batch, e.key_heads, e.keys, e.width, 2, keys);
  const auto tq = entries<T>(e.batch, e.heads, e.queries, e.teacher_width, 3, queries),
             tk = entries<T>(e.batch, e.key_heads, e.keys, e.teacher_width, 4, keys);
  guarded_tensor<S> sq(q, how), sk(k, how);
  guarded_tensor<T> ttq(tq, how), ttk(tk, how);
  guarded_tensor<float> wq(q, how), wk(k, how), wtq(tq, how), wtk(tk, how);
  const auto queries_like = [&]<class G>(G) {
    return guarded_tensor<G>(e.batch, e.heads, e.queries, e.width, how);
  };
  const auto keys_like = [&]<class G>(G) {
    return guarded_tensor<G>(e.batch, e.key_heads, e.keys, e.width, how);
  };
  auto expected_q = queries_like(0.0f), wide_q = queries_like(0.0f), expected_k = keys_like(0.0f),
       wide_k = keys_like(0.0f);
  auto narrow_q = queries_like(S()), narrow_k = keys_like(S());
  const support::plain_product product;
  auto options = mask.options(e.batch, e.queries, e.keys);
  options.product = product;
  const auto run = [&](const auto& x, const auto& y, const auto& g) { return Loss{}(x, y, g, options); };
  const double expected = run(queries_keys(wq.view(), wk.view()), queries_keys(wtq.view(), wtk.view(), 0.3),
                              queries_keys(expected_q.view(), expected_k.view()));
  const queries_keys student(sq.view(), sk.view());
  const queries_keys teacher(ttq.view(), ttk.view(), 0.3);
  CAPTURE(mask.name, static_cast<int>(how));
  CHECK(run(student, teacher, no_gradient) == expected);
  CHECK(run(student, teacher, queries_keys(wide_q.view(), wide_k.view())) == expected);
  CHECK(wide_q.bits() == expected_q.bits());
  CHECK(wide_k.bits() == expected_k.bits());
  const queries_keys narrow(narrow_q.view(), narrow_k.view());
  CHECK(run(student, teacher, narrow) == expected);
  expect_rounded(expected_q, narrow_q), expect_rounded(expected_k, narrow_k);
  // one precise side
  CHECK(run(student, queries_keys(wtq.view(), wtk.view(), 0.3), no_gradient) == expected);
  CHECK(run(queries_keys(wq.view(), wk.view()), teacher, no_gradient) == expected);
  if (how != memory::compact) return;
  narrow_q.fill(0.5), narrow_k.fill(-0.25);
  options.accumulate = true;
  run(student, teacher, narrow);
  expect_rounded(expected_q, narrow_q, 0.5), expect_rounded(expected_k, narrow_k, -0.25);
}

}  // namespace

TEMPLATE_TEST_CASE("products of 16 bits: every mask and layout", "", attention_kl, attention_mse) {
  for (const narrow_shape& e : {narrow_shape{2, 2, 2, 9, 9, 4, 6}, narrow_shape{2, 4, 2, 7, 40, 5, 3},
                                narrow_shape{1, 2, 1, 140, 150, 17, 4}})
    for (const masks& mask : every_mask(e.batch, e.queries, e.keys, 17))
      for (const memory how : {memory::compact, memory::heads_inside, memory::padded, memory::keys_strided}) {
        check<TestType, bfloat16, float16>(e, mask, how);
        if (how == memory::compact) check<TestType, float16, bfloat16>(e, mask, how);
      }
}

TEST_CASE("products of 16 bits on every target, and for every executor") {
  support::restored_target restore;
  for (const std::string& target : distill::available_targets()) {
    distill::force_target(target);
    INFO("target " << target);
    for (const std::size_t width : {1u, 3u, 8u, 15u, 16u, 17u, 33u})
      check<attention_kl, float16, bfloat16>({1, 2, 1, 5, 19, width, width + 1}, {}, memory::padded);
  }
  const auto never = [](std::size_t, std::size_t) { return false; };
  const guarded_tensor<bfloat16> q(entries<bfloat16>(2, 4, 30, 8, 1, never)),
      k(entries<bfloat16>(2, 2, 33, 8, 2, never));
  const guarded_tensor<float16> tq(entries<float16>(2, 8, 30, 4, 3, never)),
      tk(entries<float16>(2, 4, 33, 4, 4, never));
  const support::plain_product product;
  const auto run = [&](const distill::executor_ref& executor) {
    guarded_tensor<bfloat16> dq(2, 4, 30, 8), dk(2, 2, 33, 8);
    const double value = attention_kl{.heads = distill::head_map::mean()}(
        queries_keys(q.view(), k.view()), queries_keys(tq.view(), tk.view()),
        queries_keys(dq.view(), dk.view()), {.causal = true, .product = product, .executor = executor});
    return std::tuple(value, dq.bits(), dk.bits());
  };
  const auto expected = run({});
  CHECK(std::get<0>(expected) > 0);
  for (const std::size_t workers : {1u, 2u, 3u}) {
    support::block_executor executor(workers, 1);
    CHECK(run(executor) == expected);
  }
}

TEST_CASE("products of 16 bits against the oracle, several teacher heads included") {
  const auto never = [](std::size_t, std::size_t) { return false; };
  const auto q = entries<bfloat16>(2, 2, 15, 4, 1, never), k = entries<bfloat16>(2, 1, 20, 4, 2, never);
  const auto tq = entries<float16>(2, 6, 15, 5, 3, never), tk = entries<float16>(2, 3, 20, 5, 4, never);
  const guarded_tensor<bfloat16> sq(q), sk(k);
  const guarded_tensor<float16> ttq(tq), ttk(tk);
  const support::plain_product product;
  for (const masks& mask : every_mask(2, 15, 20, 29)) {
    guarded_tensor<float> dq(2, 2, 15, 4), dk(2, 1, 20, 4);
    auto options = mask.options(2, 15, 20);
    options.product = product;
    const double value = attention_kl{.heads = distill::head_map::mean()}(
        queries_keys(sq.view(), sk.view(), 1.5), queries_keys(ttq.view(), ttk.view()),
        queries_keys(dq.view(), dk.view()), options);
    const auto expected =
        of_maps(attention_oracle::formula::kl, scores(q, k, 1.5L), scores(tq, tk, 1 / std::sqrt(5.0L)),
                mask.visible(15, 20), [](std::size_t head) {
                  return std::vector<std::size_t>{3 * head, 3 * head + 1, 3 * head + 2};
                });
    attention_oracle::tensor eq, ek;
    backward(expected.gradient, q, k, 1.5L, eq, ek);
    CAPTURE(mask.name);
    CHECK(deviation(value, expected.value) < 1e-5);
    CHECK(deviation(dq.exact(), eq) < 1e-5);
    CHECK(deviation(dk.exact(), ek) < 1e-5);
  }
}

TEST_CASE("relation vectors of 16 bits: heads kept, split and merged") {
  const support::plain_product product;
  for (const std::size_t relation_heads : {0u, 1u, 2u, 4u, 6u, 12u})
    for (const masks& mask : every_mask(2, 9, 9, 3)) {
      const auto hidden = [&](std::size_t sample, std::size_t i) {
        return hidden_by(mask.queries, mask.query_lengths, 9)(sample, i) &&
               hidden_by(mask.keys, mask.key_lengths, 9)(sample, i);
      };
      const auto x = entries<bfloat16>(2, 4, 9, 3, 1, hidden), y = entries<float16>(2, 4, 9, 6, 2, hidden);
      const guarded_tensor<bfloat16> student(x, memory::heads_inside);
      const guarded_tensor<float16> teacher(y, memory::padded);
      const guarded_tensor<float> wide(x, memory::heads_inside), wide_teacher(y, memory::padded);
      guarded_tensor<float> expected(2, 4, 9, 3), direct(2, 4, 9, 3);
      guarded_tensor<bfloat16> narrow(2, 4, 9, 3);
      auto options = mask.options(2, 9, 9);
      options.product = product;
      const relation loss{.relation_heads = relation_heads};
      const double value = loss(wide.view(), wide_teacher.view(), expected.view(), options);
      CAPTURE(mask.name, relation_heads);
      CHECK(loss(student.view(), teacher.view(), direct.view(), options) == value);
      CHECK(direct.bits() == expected.bits());
      CHECK(loss(student.view(), teacher.view(), narrow.view(), options) == value);
      expect_rounded(expected, narrow);
      narrow.fill(0.125);
      options.accumulate = true;
      loss(student.view(), teacher.view(), narrow.view(), options);
      expect_rounded(expected, narrow, 0.125);
    }
}

TEST_CASE("finite differences of what 16 bits stand for") {
  const auto never = [](std::size_t, std::size_t) { return false; };
  const auto q = entries<bfloat16>(1, 2, 5, 4, 1, never), k = entries<bfloat16>(1, 1, 6, 4, 2, never);
  const auto t = entries<float16>(1, 2, 6, 4, 3, never);
  const guarded_tensor<bfloat16> sq(q), sk(k);
  const guarded_tensor<float16> tq(entries<float16>(1, 2, 5, 4, 4, never)), tk(t);
  guarded_tensor<double> wq(q), wk(k);
  guarded_tensor<float> dq(1, 2, 5, 4), dk(1, 1, 6, 4);
  const support::plain_product product;
  const distill::attention_options options{.causal = true, .product = product};
  const queries_keys teacher(tq.view(), tk.view());
  attention_kl{}(queries_keys(sq.view(), sk.view()), teacher, queries_keys(dq.view(), dk.view()), options);
  const auto loss = [&] {
    return attention_kl{}(queries_keys(wq.view(), wk.view()), teacher, no_gradient, options);
  };
  const auto compare = [&](guarded_tensor<double>& x, guarded_tensor<float>& gradient) {
    x.for_each([&](auto b, auto h, auto i, auto c) {
      const double at = x(b, h, i, c), step = 1e-5;
      x(b, h, i, c) = at + step;
      const double above = loss();
      x(b, h, i, c) = at - step;
      const double below = loss();
      x(b, h, i, c) = at;
      CHECK(gradient(b, h, i, c) == Approx((above - below) / (2 * step)).margin(1e-6).epsilon(1e-5));
    });
  };
  compare(wq, dq), compare(wk, dk);
}

TEST_CASE("16 bits of any strides, and gradients of other types refused") {
  std::vector<bfloat16> memory(2 * 5 * 4 * 2), packed(5 * 4);
  for (std::size_t i = 0; i < memory.size(); ++i)
    memory[i] = bfloat16(static_cast<float>(std::sin(static_cast<double>(i))));
  for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = memory[2 * i];
  const distill::tensor_view<bfloat16> every_second(memory.data(), {1, 1, 5, 4}, {40, 40, 8, 2}),
      compact(packed.data(), {1, 1, 5, 4});
  const guarded_tensor<float> teacher(random_tensor(1, 1, 5, 4, 3));
  const support::plain_product product;
  const distill::attention_options options{.product = product};
  CHECK(relation{}(every_second, teacher.view(), no_gradient, options) ==
        relation{}(compact, teacher.view(), no_gradient, options));
  guarded_tensor<float16> half(1, 1, 5, 4);
  CHECK_THROWS_WITH(
      relation{}(compact, teacher.view(), half.view(), options),
      "relation: gradient of vectors is float16, student is bfloat16, needs the same or float32");
  guarded_tensor<double> wide(1, 1, 5, 4);
  CHECK_THROWS_AS(relation{}(compact, teacher.view(), wide.view(), options), distill::layout_error);
}
