// attention_transfer against its definition in long double, on every target, and against finite differences.
#include <catch2/catch.hpp>
#include <distill/alignment/attention_transfer.hpp>
#include <distill/dispatch.hpp>

#include "alignment/attention_cases.hpp"
#include "support/block_executor.hpp"

using namespace attention_cases;
using Catch::Matchers::Equals;
using distill::attention_transfer;
using distill::no_gradient;

namespace {

// [positions] of a sample, normalised.
std::vector<number> map_of(const attention_oracle::tensor& x, std::size_t b, number power) {
  std::vector<number> a;
  number norm = 0;
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.columns; ++j) {
      number& sum = a.emplace_back(0);
      for (std::size_t c = 0; c < x.heads; ++c) sum += std::pow(std::abs(x.at(b, c, i, j)), power);
      norm += sum * sum;
    }
  for (number& each : a) each /= norm > 0 ? std::sqrt(norm) : 1;
  return a;
}

std::vector<number> values_of(const attention_oracle::tensor& student,
                              const attention_oracle::tensor& teacher, number power) {
  std::vector<number> values;
  for (std::size_t b = 0; b < student.batch; ++b) {
    const auto s = map_of(student, b, power), t = map_of(teacher, b, power);
    number& value = values.emplace_back(0);
    for (std::size_t i = 0; i < s.size(); ++i) value += (s[i] - t[i]) * (s[i] - t[i]);
  }
  return values;
}

// By central differences of the definition, in long double.
attention_oracle::tensor differences_of(attention_oracle::tensor x, const attention_oracle::tensor& teacher,
                                        number power, const std::vector<number>& weights) {
  attention_oracle::tensor slopes = x;
  const auto total = [&] {
    number sum = 0;
    const auto values = values_of(x, teacher, power);
    for (std::size_t b = 0; b < values.size(); ++b) sum += weights[b] * values[b];
    return sum;
  };
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const number at = x.values[i], step = 1e-4L;
    number differences[4];
    for (int k = 0; k < 4; ++k) {
      x.values[i] = at + step * static_cast<number>(k < 2 ? k - 2 : k - 1);
      differences[k] = total();
    }
    x.values[i] = at;
    slopes.values[i] =
        (8 * (differences[2] - differences[1]) - (differences[3] - differences[0])) / (12 * step);
  }
  return slopes;
}

// From the formula; checked against differences of the definition below.
attention_oracle::tensor slopes_of(const attention_oracle::tensor& x, const attention_oracle::tensor& teacher,
                                   number power, const std::vector<number>& weights) {
  attention_oracle::tensor slopes = x;
  for (std::size_t b = 0; b < x.batch; ++b) {
    const auto s = map_of(x, b, power), t = map_of(teacher, b, power);
    number along = 0, norm = 0;
    for (std::size_t at = 0; at < s.size(); ++at) {
      number sum = 0;
      for (std::size_t c = 0; c < x.heads; ++c)
        sum += std::pow(std::abs(x.at(b, c, at / x.columns, at % x.columns)), power);
      norm += sum * sum;
      along += (s[at] - t[at]) * s[at];
    }
    for (std::size_t c = 0; c < x.heads; ++c)
      for (std::size_t at = 0; at < s.size(); ++at) {
        number& value = slopes.at(b, c, at / x.columns, at % x.columns);
        const number da = 2 * weights[b] * (s[at] - t[at] - along * s[at]) / std::sqrt(norm);
        value = da * power * std::pow(std::abs(value), power - 1) * (value > 0 ? 1 : -1);
      }
  }
  return slopes;
}

// Away from 0, where odd powers have kinks that differences cannot see past.
attention_oracle::tensor features(std::size_t channels, std::uint64_t seed) {
  auto x = random_tensor(3, channels, 5, 7, seed);
  for (number& each : x.values) each += each < 0 ? -0.125L : 0.125L;
  return x;
}

template <class S, class T>
void check(double power, memory how, double allowed, double allowed_gradient) {
  const guarded_tensor<S> s(features(4, 1), how);
  const guarded_tensor<T> t(features(6, 2), how);
  guarded_tensor<S> g(3, 4, 5, 7, how);
  const float weights[3] = {2, 0, 0.5f};
  double row_values[3];
  distill::row_options rows;
  rows.row_weights = weights;
  rows.row_values = row_values;
  const double value = attention_transfer{.power = power}(s.view(), t.view(), g.view(), rows);
  const auto expected = values_of(s.exact(), t.exact(), power);
  CAPTURE(power, static_cast<int>(how));
  CHECK(deviation(value, (2 * expected[0] + expected[2] / 2) / 2) <= allowed);
  CHECK(deviation(row_values[0], 2 * expected[0]) <= allowed);
  CHECK(row_values[1] == 0);
  CHECK(deviation(g.exact(), slopes_of(s.exact(), t.exact(), power, {1, 0, 0.25L})) <= allowed_gradient);
  CHECK(g.is_intact());
  rows.reduction = distill::reduction::mean;
  CHECK(attention_transfer{.power = power}(s.view(), t.view(), no_gradient, rows) ==
        Approx(value / 35).epsilon(1e-14));
  rows.denominator = 7;
  rows.accumulate = true;
  if (sizeof(S) < 4) return;
  CHECK(attention_transfer{.power = power}(s.view(), t.view(), g.view(), rows) ==
        Approx(value * 2 / 7).epsilon(1e-14));
  CHECK(deviation(g.exact(), slopes_of(s.exact(), t.exact(), power, {1 + 2 / 7.0L, 0, (1 + 2 / 7.0L) / 4})) <=
        allowed_gradient);
}

}  // namespace

TEST_CASE("attention_transfer: powers, layouts, element types, targets") {
  for (const std::string& target : distill::available_targets()) {
    distill::force_target(target);
    INFO("target " << target);
    for (const double power : {1.0, 2.0, 3.0, 1.5})
      for (const memory how : {memory::compact, memory::heads_inside, memory::padded, memory::keys_strided}) {
        check<double, double>(power, how, 1e-13, 1e-9);
        check<float, float>(power, how, 1e-13, 1e-6);
        check<float, double>(power, how, 1e-13, 1e-6);
        check<distill::bfloat16, distill::float16>(power, how, 1e-13, 0x1p-8);
      }
  }
  distill::force_target("");
}

TEST_CASE("attention_transfer: the oracle's gradient against differences") {
  for (const number power : {1.0L, 2.0L, 1.5L}) {
    const auto x = features(2, 1), y = features(3, 2);
    CHECK(deviation(slopes_of(x, y, power, {1, 0.5L, 2}), differences_of(x, y, power, {1, 0.5L, 2})) < 1e-10);
  }
}

TEST_CASE("attention_transfer: rank 3, in place, any executor") {
  guarded_tensor<float> s(random_tensor(9, 4, 1, 35, 1));
  const guarded_tensor<float> t(random_tensor(9, 2, 1, 35, 2));
  guarded_tensor<float> g(9, 4, 1, 35);
  struct rank_3 {
    const float* data;
    std::size_t extents[3];
    const float* data_handle() const { return data; }
    static std::size_t rank() { return 3; }
    std::size_t extent(int i) const { return extents[i]; }
    std::ptrdiff_t stride(int i) const {
      return static_cast<std::ptrdiff_t>(i == 0 ? extents[1] * extents[2] : i == 1 ? extents[2] : 1);
    }
  };
  const double value = attention_transfer{}(s.view(), t.view(), g.view());
  CHECK(attention_transfer{}(rank_3{&s(0, 0, 0, 0), {9, 4, 35}},
                             rank_3{t.view().data_handle(), {9, 2, 35}}) == value);
  const auto bits = g.bits();
  for (const std::size_t workers : {std::size_t{1}, std::size_t{3}}) {
    support::block_executor executor(workers, 2);
    distill::row_options rows;
    rows.executor = executor;
    g.fill(0);
    CHECK(attention_transfer{}(s.view(), t.view(), g.view(), rows) == value);
    CHECK(g.bits() == bits);
  }
  attention_transfer{}(s.view(), t.view(), s.view());
  CHECK(s.bits() == bits);
}

TEST_CASE("attention_transfer: zeros, NaN and what is refused") {
  guarded_tensor<float> s(random_tensor(2, 3, 4, 5, 1)), t(random_tensor(2, 3, 4, 5, 2)), g(2, 3, 4, 5);
  const attention_transfer loss;
  CHECK(loss(s.view(), s.view(), g.view()) == 0);
  for (const number each : g.exact().values) CHECK(each == 0);
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = 0; i < 20; ++i) s(1, c, i / 5, i % 5) = 0;
  CHECK(std::isfinite(loss(s.view(), t.view(), g.view())));
  CHECK(g(1, 2, 3, 4) == 0);
  t(0, 0, 0, 0) = std::nanf("");
  CHECK(std::isnan(loss(s.view(), t.view(), g.view())));
  g.fill(3);
  const auto before = g.bits();
  const guarded_tensor<float> batch(3, 3, 4, 5), rows(2, 3, 3, 5);
  CHECK_THROWS_WITH(loss(s.view(), batch.view(), g.view()),
                    Equals("attention_transfer: teacher has 3 samples, student has 2"));
  CHECK_THROWS_WITH(loss(s.view(), rows.view(), g.view()),
                    Equals("attention_transfer: teacher has 3 rows, student has 4"));
  std::vector<double> slopes(2);
  CHECK_THROWS_WITH(loss(s.view(), t.view(), g.view(), {.temperature_slopes = slopes}),
                    "attention_transfer: has no temperature, so temperature_slopes must be empty");
  CHECK_THROWS_WITH((attention_transfer{.power = 0.5}(s.view(), t.view(), g.view())),
                    Equals("attention_transfer: power must be finite and >= 1, got 0.5"));
  CHECK_THROWS_WITH(loss(s.view(), t.view(), t.view()),
                    Equals("attention_transfer: gradient overlaps teacher"));
  CHECK(g.bits() == before);
}
