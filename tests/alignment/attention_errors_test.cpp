// What is refused: each message, and that nothing has been written.
#include <catch2/catch.hpp>
#include <distill/alignment/relation.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"

using namespace attention_cases;
using Catch::Matchers::Equals;
using distill::attention_kl;
using distill::attention_options;
using distill::head_map;
using distill::queries_keys;
using distill::relation;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Maps [2, 4, 6, 8], and a gradient whose content must survive every refusal.
struct refusals {
  guarded_tensor<float> student{random_tensor(2, 4, 6, 8, 1)}, teacher{random_tensor(2, 4, 6, 8, 2)},
      gradient{2, 4, 6, 8};
  attention_options options;
  attention_kl loss;

  refusals() { gradient.fill(3); }
  template <class Error, class S, class T, class G>
  void refuse(const std::string& message, S&& s, T&& t, G&& g) {
    const auto before = gradient.bits();
    CHECK_THROWS_AS(loss(s, t, g, options), Error);
    CHECK_THROWS_WITH(loss(s, t, g, options), Equals(message));
    CHECK(gradient.bits() == before);
    CHECK(gradient.is_intact());
  }
  template <class Error>
  void refuse(const std::string& message) {
    refuse<Error>(message, student.view(), teacher.view(), gradient.view());
  }
};

}  // namespace

TEST_CASE("maps that do not fit") {
  using distill::shape_error;
  refusals r;
  const guarded_tensor<float> batch(3, 4, 6, 8), queries(2, 4, 5, 8), keys(2, 4, 6, 9), heads(2, 3, 6, 8);
  const auto s = r.student.view();
  const auto g = r.gradient.view();
  r.refuse<shape_error>("attention_kl: teacher has 3 samples, student has 2", s, batch.view(), g);
  r.refuse<shape_error>("attention_kl: teacher has 5 queries, student has 6", s, queries.view(), g);
  r.refuse<shape_error>("attention_kl: teacher has 9 keys, student has 8", s, keys.view(), g);
  r.refuse<shape_error>(
      "attention_kl: student has 4 heads, teacher has 3 heads; say with a head_map which teacher heads a "
      "student head "
      "learns from",
      s, heads.view(), g);
  r.refuse<shape_error>("attention_kl: gradient has 3 heads, student has 4", s, r.teacher.view(),
                        guarded_tensor<float>(2, 3, 6, 8).view());
  r.refuse<shape_error>("attention_kl: student has 0 keys",
                        distill::tensor_view<float>(&r.student(0, 0, 0, 0), {2, 4, 6, 0}), r.teacher.view(),
                        g);
  r.loss.heads = head_map::mean();
  r.refuse<shape_error>(
      "attention_kl: student has 4 heads, teacher has 3 heads, which is not a multiple as head_map::mean "
      "needs",
      s, heads.view(), g);
  r.loss.heads = head_map::shared();
  r.refuse<shape_error>(
      "attention_kl: student has 4 heads, teacher has 3 heads, which does not divide them as "
      "head_map::shared needs",
      s, heads.view(), g);
  r.loss.heads = head_map::selection({0, 1});
  r.refuse<shape_error>("attention_kl: the head_map lists 2 student heads, student has 4");
  r.loss.heads = head_map::selection({0, 1, 2, 4});
  r.refuse<shape_error>(
      "attention_kl: the head_map gives student head 3 teacher head 4, teacher has 4 heads");
}

TEST_CASE("memory that cannot be used") {
  using distill::layout_error;
  refusals r;
  const auto s = r.student.view(), t = r.teacher.view(), g = r.gradient.view();
  const distill::tensor_view<float> none(nullptr, {2, 4, 6, 8});
  r.refuse<layout_error>("attention_kl: student has no memory", none, t, g);
  r.refuse<layout_error>("attention_kl: teacher has no memory", s, none, g);
  r.refuse<layout_error>("attention_kl: gradient has no memory", s, t, none);
  r.refuse<layout_error>("attention_kl: gradient is float64, student is float32; it must be the same", s, t,
                         guarded_tensor<double>(2, 4, 6, 8).view());
  r.refuse<layout_error>("attention_kl: gradient overlaps teacher", s, t, t);
  guarded_tensor<float> large(2, 4, 6, 9);
  float* const at = large.view().data_handle();
  r.refuse<layout_error>("attention_kl: gradient overlaps student",
                         distill::tensor_view<float>(at, {2, 4, 6, 8}), t,
                         distill::tensor_view<float>(at + 1, {2, 4, 6, 8}));
  r.refuse<layout_error>("attention_kl: gradient has a stride of 0, so its elements are not distinct", s, t,
                         distill::tensor_view<float>(at, {2, 4, 6, 8}, {192, 48, 0, 1}));
  r.loss.heads = head_map::of({{0, 1}, {1}, {2}, {3}});
  r.refuse<layout_error>(
      "attention_kl: gradient is in place, and student head 0 has several teacher heads that read the "
      "student",
      r.gradient.view(), t, r.gradient.view());
}

TEST_CASE("options that do not fit") {
  using distill::data_error;
  using distill::parameter_error;
  using distill::shape_error;
  const std::vector<std::uint8_t> mask(2 * 9, 1);
  std::vector<std::int32_t> lengths = {8, 0};
  std::vector<double> values(47);
  const auto with = [](auto change) {
    refusals r;
    change(r.options);
    return r;
  };
  with([&](auto& o) {
    o.key_mask = distill::mask_view(mask.data(), 2, 9);
  }).refuse<shape_error>("attention_kl: key_mask is 2 x 9, must be 2 x 8");
  with([&](auto& o) {
    o.query_mask = distill::mask_view(mask.data(), 1, 6);
  }).refuse<shape_error>("attention_kl: query_mask is 1 x 6, must be 2 x 6");
  with([&](auto& o) {
    o.key_lengths = lengths;
  }).refuse<data_error>("attention_kl: key_lengths[1] is 0, must be in [1, 8]");
  lengths = {7, 1};
  with([&](auto& o) {
    o.query_lengths = lengths;
  }).refuse<data_error>("attention_kl: query_lengths[0] is 7, must be in [1, 6]");
  lengths = {7};
  with([&](auto& o) {
    o.key_lengths = lengths;
  }).refuse<shape_error>("attention_kl: key_lengths has 1 entries, the batch has 2 samples");
  with([&](auto& o) {
    o.row_values = values;
  }).refuse<shape_error>("attention_kl: row_values has 47 entries, batch x heads x queries is 48");
  with([&](auto& o) {
    o.reduction = distill::reduction::none;
  }).refuse<parameter_error>("attention_kl: reduction::none needs row_values");
  with([&](auto& o) {
    o.denominator = 0;
  }).refuse<parameter_error>("attention_kl: denominator must be finite and > 0, got 0");
  values.resize(48);
  with([&](auto& o) {
    o.reduction = distill::reduction::none, o.denominator = 2, o.row_values = values;
  }).refuse<parameter_error>("attention_kl: reduction::none has no denominator");
  refusals r;
  r.options.causal = true;
  guarded_tensor<float> s(2, 4, 9, 8), t(2, 4, 9, 8);
  r.refuse<shape_error>(
      "attention_kl: causal needs at least as many keys as queries, got 8 keys and 9 queries", s.view(),
      t.view(), distill::no_gradient);
  refusals overlapping;
  overlapping.options.key_mask =
      distill::mask_view(reinterpret_cast<const std::uint8_t*>(&overlapping.gradient(0, 0, 0, 0)), 2, 8);
  overlapping.refuse<distill::layout_error>("attention_kl: gradient overlaps key_mask");
  CHECK_THROWS_WITH(head_map::of({{0}, {}}), Equals("head_map: student head 1 has no teacher head"));
}

TEST_CASE("queries and keys that do not fit") {
  using distill::layout_error;
  using distill::parameter_error;
  using distill::shape_error;
  refusals r;
  const support::plain_product product;
  guarded_tensor<float> q(2, 4, 6, 8), k(2, 2, 7, 8), dk(2, 2, 7, 8), tq(2, 4, 6, 5), tk(2, 4, 7, 5),
      odd(2, 3, 7, 8), narrow(2, 2, 7, 6), other(2, 2, 8, 8);
  dk.fill(1);
  const queries_keys s(q.view(), k.view()), t(tq.view(), tk.view()), g(r.gradient.view(), dk.view());
  const auto gradient_of = [&](auto&& x) { return queries_keys(r.gradient.view(), x.view()); };
  r.gradient = guarded_tensor<float>(2, 4, 6, 8);
  r.gradient.fill(3);
  r.refuse<parameter_error>("attention_kl: options.product is not given, and queries and keys need products",
                            s, t, g);
  r.options.product = product;
  r.refuse<shape_error>(
      "attention_kl: student's keys have 3 heads, which do not divide the 4 of student's queries",
      queries_keys(q.view(), odd.view()), t, g);
  r.refuse<shape_error>("attention_kl: student's keys have heads of 6 columns, student's queries of 8",
                        queries_keys(q.view(), narrow.view()), t, g);
  r.refuse<shape_error>("attention_kl: teacher's keys has 8 keys, student's keys has 7", s,
                        queries_keys(q.view(), other.view()), g);
  r.refuse<shape_error>("attention_kl: gradient of keys has 8 keys, student's keys has 7", s, t,
                        gradient_of(other));
  r.refuse<layout_error>("attention_kl: gradient of keys overlaps student's keys", s, t, gradient_of(k));
  r.refuse<layout_error>(
      "attention_kl: gradient of queries overlaps gradient of keys", s, t,
      queries_keys(r.gradient.view(), distill::tensor_view<float>(&r.gradient(0, 0, 0, 0), {2, 2, 7, 8})));
  r.refuse<parameter_error>("attention_kl: teacher's scale must be finite, got inf", s,
                            queries_keys(tq.view(), tk.view(), infinity), g);
  const distill::tensor_view<float> strided(&q(0, 0, 0, 0), {2, 4, 6, 4}, {192, 48, 8, 2});
  r.refuse<layout_error>(
      "attention_kl: student's queries have strides 8 and 2 in their last dimensions, one must be 1",
      queries_keys(strided, strided), t, distill::no_gradient);
  CHECK_THROWS_WITH(
      relation{.relation_heads = 5}(q.view(), q.view(), distill::no_gradient, r.options),
      Equals("relation: student's vectors have 32 columns in all, which do not divide into 5 heads"));
}
