// attention_kl and attention_mse of maps against the oracle: masks, memory layouts, element types, heads,
// reductions.
#include <catch2/catch.hpp>

#include "alignment/attention_cases.hpp"
#include "support/larger_error.hpp"

using namespace attention_cases;
using attention_oracle::divisor;
using distill::attention_kl;
using distill::attention_mse;
using distill::head_map;

namespace {

struct map_shape {
  std::size_t batch, heads, queries, keys;
};

template <class Loss, class S, class T = S, class G = S>
void check(const map_shape& extent, const masks& mask, double allowed, memory how = memory::compact,
           divisor by = divisor::rows) {
  const auto [batch, heads, queries, keys] = extent;
  const auto visible = mask.visible(queries, keys);
  auto student = random_tensor(batch, heads, queries, keys, 1),
       teacher = random_tensor(batch, heads, queries, keys, 2);
  spoil_hidden(student, visible);
  spoil_hidden(teacher, visible);
  const guarded_tensor<S> s(student, how);
  const guarded_tensor<T> t(teacher, how);
  guarded_tensor<G> g(batch, heads, queries, keys, how);
  std::vector<double> row_values(batch * heads * queries, -1);
  auto options = mask.options(batch, queries, keys);
  options.row_values = row_values;
  if (by == divisor::one) options.reduction = distill::reduction::sum;
  if (by == divisor::pairs) options.reduction = distill::reduction::mean;
  const double value = Loss{}(s.view(), t.view(), g.view(), options);
  const auto expected =
      of_maps(formula_of<Loss>, s.exact(), t.exact(), visible, attention_oracle::same_head, by);
  CAPTURE(mask.name, batch, heads, queries, keys, static_cast<int>(how));
  CHECK(deviation(value, expected.value) <= allowed);
  CHECK(deviation(g.exact(), expected.gradient) <= allowed + (sizeof(G) == 2 ? 0x1p-8 : 0));
  CHECK(g.is_intact());
  number worst = 0, largest = 0;
  for (std::size_t row = 0; row < row_values.size(); ++row) {
    worst = support::larger_error(worst, std::abs(row_values[row] - expected.row_values[row]));
    largest = std::max(largest, expected.row_values[row]);
  }
  CHECK(worst <= allowed * std::max(largest, number{1e-3}));
  CHECK(Loss{}(s.view(), t.view(), distill::no_gradient, options) == value);
}

}  // namespace

TEMPLATE_TEST_CASE("every mask against the oracle", "", attention_kl, attention_mse) {
  for (const map_shape& extent : {map_shape{3, 2, 7, 7}, map_shape{2, 3, 5, 41}, map_shape{2, 1, 40, 40},
                                  map_shape{2, 2, 19, 600}, map_shape{1, 1, 1, 1}, map_shape{2, 2, 9, 4}})
    for (const masks& mask : every_mask(extent.batch, extent.queries, extent.keys, 7)) {
      check<TestType, double>(extent, mask, extent.keys == 1 ? 1e-15 : 1e-12);
      check<TestType, float>(extent, mask, 2e-6);
    }
}

TEMPLATE_TEST_CASE("every memory layout", "", attention_kl, attention_mse) {
  for (const memory how : {memory::compact, memory::heads_inside, memory::padded, memory::keys_strided})
    for (const masks& mask : every_mask(2, 21, 70, 9)) {
      check<TestType, float>({2, 3, 21, 70}, mask, 2e-6, how);
      check<TestType, double>({2, 3, 21, 70}, mask, 1e-12, how);
    }
}

TEMPLATE_TEST_CASE("every element type, and mixed ones", "", attention_kl, attention_mse) {
  using distill::bfloat16;
  using distill::float16;
  for (const masks& mask : every_mask(2, 11, 50, 11)) {
    check<TestType, bfloat16>({2, 2, 11, 50}, mask, 2e-6);
    check<TestType, float16>({2, 2, 11, 50}, mask, 2e-6);
    check<TestType, bfloat16, float, float>({2, 2, 11, 50}, mask, 2e-6);
    check<TestType, float, bfloat16>({2, 2, 11, 50}, mask, 2e-6);
    check<TestType, float, double>({2, 2, 11, 50}, mask, 2e-6);
    check<TestType, double, float>({2, 2, 11, 50}, mask, 1e-12);
  }
}

TEMPLATE_TEST_CASE("the reductions", "", attention_kl, attention_mse) {
  for (const masks& mask : every_mask(3, 12, 33, 13))
    for (const divisor by : {divisor::one, divisor::rows, divisor::pairs})
      check<TestType, double>({3, 2, 12, 33}, mask, 1e-12, memory::compact, by);
}

TEMPLATE_TEST_CASE("reduction none, an explicit denominator, accumulation", "", attention_kl, attention_mse) {
  for (const masks& mask : every_mask(2, 14, 30, 5)) {
    const auto visible = mask.visible(14, 30);
    const guarded_tensor<double> s(random_tensor(2, 2, 14, 30, 1)), t(random_tensor(2, 2, 14, 30, 2));
    const auto sum = of_maps(formula_of<TestType>, s.exact(), t.exact(), visible, attention_oracle::same_head,
                             divisor::one);
    guarded_tensor<double> g(2, 2, 14, 30);
    CAPTURE(mask.name);
    auto options = mask.options(2, 14, 30);
    std::vector<double> values(2 * 2 * 14);
    options.row_values = values;
    options.reduction = distill::reduction::none;
    CHECK(deviation(TestType{}(s.view(), t.view(), g.view(), options), sum.value) < 1e-12);
    CHECK(deviation(g.exact(), sum.gradient) < 1e-12);
    options.reduction = distill::reduction::batch_mean;
    options.denominator = 40;
    CHECK(deviation(TestType{}(s.view(), t.view(), g.view(), options), sum.value / 40) < 1e-12);
    options.accumulate = true;
    options.denominator = 20;
    TestType{}(s.view(), t.view(), g.view(), options);
    auto expected = sum.gradient;
    for (number& each : expected.values) each *= 3 / 40.0L;
    CHECK(deviation(g.exact(), expected) < 1e-12);
  }
}

TEMPLATE_TEST_CASE("teacher heads", "", attention_kl, attention_mse) {
  using lists = std::vector<std::vector<std::size_t>>;
  struct mapping {
    head_map map;
    std::size_t student, teacher;
    lists expected;
  };
  for (const mapping& each : {mapping{head_map::mean(), 2, 6, lists{{0, 1, 2}, {3, 4, 5}}},
                              mapping{head_map::shared(), 4, 2, lists{{0}, {0}, {1}, {1}}},
                              mapping{head_map::selection({5, 0, 5}), 3, 6, lists{{5}, {0}, {5}}},
                              mapping{head_map::of({{1, 2}, {0}}), 2, 3, lists{{1, 2}, {0}}}})
    for (const masks& mask : every_mask(2, 150, 30, 3)) {
      const guarded_tensor<float> s(random_tensor(2, each.student, 150, 30, 1)),
          t(random_tensor(2, each.teacher, 150, 30, 2));
      guarded_tensor<float> g(2, each.student, 150, 30);
      const auto expected = of_maps(formula_of<TestType>, s.exact(), t.exact(), mask.visible(150, 30),
                                    [&](std::size_t head) { return each.expected[head]; });
      const double value =
          TestType{.heads = each.map}(s.view(), t.view(), g.view(), mask.options(2, 150, 30));
      CAPTURE(mask.name, each.student);
      CHECK(deviation(value, expected.value) < 2e-6);
      CHECK(deviation(g.exact(), expected.gradient) < 2e-6);
      CHECK(g.is_intact());
    }
}

TEMPLATE_TEST_CASE("masks of every type", "", bool, std::int8_t, std::int32_t, std::int64_t, float) {
  const guarded_tensor<float> s(random_tensor(1, 1, 4, 6, 1)), t(random_tensor(1, 1, 4, 6, 2));
  const std::uint8_t as_bytes[6] = {1, 0, 1, 1, 0, 1};
  TestType mask[6];
  for (std::size_t i = 0; i < 6; ++i) mask[i] = static_cast<TestType>(as_bytes[i]);
  distill::attention_options bytes, typed;
  bytes.key_mask = distill::mask_view(as_bytes, 1, 6);
  typed.key_mask = distill::mask_view(mask, 1, 6);
  const double value = attention_kl{}(s.view(), t.view(), distill::no_gradient, typed);
  CHECK(value == attention_kl{}(s.view(), t.view(), distill::no_gradient, bytes));
  CHECK(value != attention_kl{}(s.view(), t.view()));
}

TEST_CASE("equal maps give exactly 0, and a map can be overwritten by its gradient") {
  guarded_tensor<float> s(random_tensor(2, 2, 9, 50, 1));
  const guarded_tensor<float> t(random_tensor(2, 2, 9, 50, 2));
  guarded_tensor<float> g(2, 2, 9, 50);
  CHECK(attention_kl{}(s.view(), std::as_const(s).view(), g.view()) == 0);
  for (const number each : g.exact().values) CHECK(each == 0);
  for (const masks& mask : every_mask(2, 9, 50, 21)) {
    guarded_tensor<float> in_place(s.exact());
    const auto options = mask.options(2, 9, 50);
    CHECK(attention_kl{}(s.view(), t.view(), g.view(), options) ==
          attention_kl{}(in_place.view(), t.view(), in_place.view(), options));
    CHECK(g.bits() == in_place.bits());
  }
}

TEST_CASE("scores so large that float overflows, infinities, NaN") {
  const float infinity = std::numeric_limits<float>::infinity();
  guarded_tensor<float> s(random_tensor(1, 1, 3, 5, 1)), t(random_tensor(1, 1, 3, 5, 2)), g(1, 1, 3, 5);
  std::vector<double> rows(3);
  distill::attention_options options;
  options.row_values = rows;
  s(0, 0, 0, 2) = 3e38f;
  t(0, 0, 0, 3) = 3e38f;
  s(0, 0, 1, 1) = t(0, 0, 1, 1) = -infinity;
  t(0, 0, 2, 0) = std::nanf("");
  CHECK(std::isnan(attention_kl{}(s.view(), t.view(), g.view(), options)));
  CHECK(rows[0] == Approx(6e38 / 2));
  CHECK(std::isfinite(rows[1]));
  CHECK(std::isnan(rows[2]));
  CHECK(static_cast<double>(g(0, 0, 1, 1)) == 0);
  s(0, 0, 1, 0) = -infinity;
  attention_kl{}(s.view(), t.view(), g.view(), options);
  CHECK(rows[1] == static_cast<double>(infinity));
}
