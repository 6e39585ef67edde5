// Dispatch and combine against their definitions: element types, widths around the vectors, layouts, targets.
#include <catch2/catch.hpp>
#include <cmath>

#include "moe/exchange_cases.hpp"
#include "support/block_executor.hpp"
#include "support/tolerance.hpp"

using namespace exchange_cases;

namespace {

template <class T>
double epsilon() {
  return sizeof(T) == 8 ? 0x1p-53 : 0x1p-24;
}

template <class T>
bool within(double got, long double expected, double allowed) {
  const double rounding = support::rounding_of(distill::element_traits<T>::type);
  return std::abs(static_cast<long double>(got) - expected) <=
         allowed + rounding * std::abs(expected) + 1e-9 * rounding;
}

template <class Row, class Token>
void check_combine(exchange<Row, Token>& e, bool accumulate) {
  std::vector<long double> magnitude;
  const auto expected =
      dispatch_oracle::combined(e.b, e.expected_order, elements(e.rows), e.width, magnitude);
  e.token_output.fill(2);
  distill::combine_tokens(e.rows.view(), e.routing.view.weights, e.order.view, e.token_output.view(),
                          {.accumulate = accumulate});
  const auto got = elements(e.token_output);
  bool good = true;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const long double start = accumulate ? 2 : 0;
    const double allowed = static_cast<double>(e.b.k + (accumulate ? 2 : 1)) * epsilon<Row>() *
                           static_cast<double>(magnitude[i] + start);
    good = good && within<Token>(got[i], expected[i] + start, allowed);
  }
  CHECK(good);
  CHECK(e.token_output.is_intact());
}

template <class Row, class Token>
void check_dispatch_backward(exchange<Row, Token>& e) {
  std::vector<long double> magnitude;
  const auto expected =
      dispatch_oracle::combined(e.b, e.expected_order, elements(e.rows), e.width, magnitude, true);
  distill::dispatch_tokens_backward(e.rows.view(), e.order.view, e.token_output.view());
  const auto got = elements(e.token_output);
  bool good = true;
  for (std::size_t i = 0; i < expected.size(); ++i)
    good = good &&
           within<Token>(got[i], expected[i],
                         static_cast<double>(e.b.k + 1) * epsilon<Row>() * static_cast<double>(magnitude[i]));
  CHECK(good);
}

template <class Row, class Token>
void check_combine_backward(exchange<Row, Token>& e) {
  e.row_output.fill(77);
  distill::combine_tokens_backward(e.tokens.view(), e.rows.view(), e.routing.view.weights, e.order.view,
                                   e.row_output.view(), e.slope_view());
  bool good = true;
  for (std::size_t row = 0; row + 1 < e.row_count(); ++row) {
    const int t = e.expected_order.tokens[row], j = e.expected_order.slots[row];
    for (std::size_t c = 0; c < e.width; ++c) {
      const long double w = t < 0 ? 0 : e.b.weight(static_cast<std::size_t>(t), static_cast<std::size_t>(j));
      const long double exact = t < 0 ? 0 : w * e.tokens.at(static_cast<std::size_t>(t), c);
      good = good && within<Row>(e.row_output.at(row, c), exact,
                                 epsilon<Row>() * static_cast<double>(std::abs(exact)));
    }
  }
  CHECK(good);
  for (std::size_t c = 0; c < e.width; ++c) good = good && e.row_output.at(e.row_count() - 1, c) == 77;
  for (std::size_t i = 0; i < e.b.ids.size(); ++i) {
    long double dot = 0, magnitude = 0;
    for (std::size_t c = 0; c < e.width && e.b.ids[i] >= 0; ++c) {
      const long double term = static_cast<long double>(e.tokens.at(i / e.b.k, c)) *
                               e.rows.at(static_cast<std::size_t>(e.expected_order.rows[i]), c);
      dot += term, magnitude += std::abs(term);
    }
    good = good && std::abs(static_cast<long double>(e.slopes[i]) - dot) <= 1.5e-6 * magnitude;
  }
  CHECK(good);
  CHECK(e.row_output.is_intact());
}

template <class T>
void check_dispatch(exchange<T, T>& e) {
  e.row_output.fill(77);
  distill::dispatch_tokens(e.tokens.view(), e.order.view, e.row_output.view());
  bool good = true;
  for (std::size_t row = 0; row < e.row_count(); ++row)
    for (std::size_t c = 0; c < e.width; ++c) {
      const int t = row + 1 < e.row_count() ? e.expected_order.tokens[row] : -2;
      const double expected = t == -2 ? 77 : t == -1 ? 0 : e.tokens.at(static_cast<std::size_t>(t), c);
      good = good && e.row_output.at(row, c) == expected;
    }
  CHECK(good);
  CHECK(e.row_output.is_intact());
}

template <class Row, class Token>
void check_all(const batch& b, std::size_t width, std::size_t block, layout how, std::size_t offset) {
  CAPTURE(width, block, support::name_of(how), offset, sizeof(Row), sizeof(Token));
  exchange<Row, Token> e(b, width, block, how, offset);
  if constexpr (std::is_same_v<Row, Token>) check_dispatch(e);
  check_combine(e, false);
  check_combine(e, true);
  check_dispatch_backward(e);
  check_combine_backward(e);
}

template <class F>
void for_every_type(F f) {
  f(float(), float());
  f(double(), double());
  f(distill::bfloat16(), distill::bfloat16());
  f(distill::bfloat16(), float());
  f(distill::float16(), distill::float16());
  f(distill::float16(), float());
}

}  // namespace

TEST_CASE("every target, element type, width and misalignment") {
  const batch b = random_batch(9, 3, 5, 1, 6);
  on_every_target([&](const std::string& target) {
    INFO(target);
    for (const std::size_t width : {1u, 3u, 4u, 7u, 8u, 15u, 16u, 17u, 33u, 64u, 127u, 129u, 300u})
      for_every_type([&](auto row, auto token) {
        check_all<decltype(row), decltype(token)>(b, width, 1, layout::compact, 1);
        check_all<decltype(row), decltype(token)>(b, width, 4, layout::padded_rows, 0);
      });
  });
}

TEST_CASE("any layout") {
  const batch b = random_batch(20, 2, 8, 2, 3);
  for (const layout how :
       {layout::column_major, layout::padded_columns, layout::every_third, layout::reversed_rows})
    for_every_type(
        [&](auto row, auto token) { check_all<decltype(row), decltype(token)>(b, 37, 4, how, 0); });
}

TEST_CASE("one expert, no tokens, and tokens without experts") {
  for (const std::size_t tokens : {1u, 6u})
    check_all<float, float>(random_batch(tokens, 1, 1, 3), 40, 4, layout::compact, 0);
  check_all<float, float>(random_batch(8, 2, 4, 3, 1), 40, 4, layout::compact,
                          0);  // every assignment is none
  const batch nothing = random_batch(0, 2, 4, 3);
  stored_order order(nothing, 0);
  sort(nothing, order);
  distill::dispatch_tokens(distill::matrix_view<const float>(nullptr, 0, 8), order.view,
                           distill::matrix_view<float>(nullptr, 0, 8));
  distill::combine_tokens(distill::matrix_view<const float>(nullptr, 0, 8),
                          distill::matrix_view<const float>(nullptr, 0, 2), order.view,
                          distill::matrix_view<float>(nullptr, 0, 8));
}

TEST_CASE("integers are dispatched too") {
  const batch b = random_batch(9, 2, 3, 1);
  stored_order order(b);
  sort(b, order);
  std::vector<std::uint8_t> codes(9 * 5), rows(18 * 5);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i);
  distill::dispatch_tokens(distill::matrix_view<const std::uint8_t>(codes.data(), 9, 5), order.view,
                           distill::matrix_view<std::uint8_t>(rows.data(), 18, 5));
  for (std::size_t row = 0; row < 18; ++row)
    for (std::size_t c = 0; c < 5; ++c)
      CHECK(rows[row * 5 + c] == codes[static_cast<std::size_t>(order.tokens[row]) * 5 + c]);
}

TEST_CASE("outputs so large that they bypass the caches") {
  for (const std::size_t width : {1027u, 4096u})
    check_all<float, float>(random_batch(width == 4096 ? 1100 : 4200, 2, 8, 4, 9), width, 4,
                            layout::padded_rows, 1);
}

TEST_CASE("not wanted gradients are left out, and the rest stays the same") {
  const batch b = random_batch(30, 3, 6, 8, 4);
  exchange<float> e(b, 50, 1);
  check_combine_backward(e);
  const auto rows = elements(e.row_output);
  const auto slopes = e.slopes;
  e.row_output.fill(77), std::fill(e.slopes.begin(), e.slopes.end(), 99.f);
  distill::combine_tokens_backward(e.tokens.view(), e.rows.view(), e.routing.view.weights, e.order.view,
                                   e.row_output.view(), distill::no_exchange_gradient);
  CHECK(elements(e.row_output) == rows);
  distill::combine_tokens_backward(e.tokens.view(), e.rows.view(), e.routing.view.weights, e.order.view,
                                   distill::no_exchange_gradient, e.slope_view());
  CHECK(e.slopes == slopes);
  distill::combine_tokens_backward(e.tokens.view(), e.rows.view(), e.routing.view.weights, e.order.view,
                                   e.rows.view(), e.slope_view());  // over the rows themselves
  CHECK(e.slopes == slopes);
  for (std::size_t row = 0; row + 1 < e.row_count(); ++row)
    for (std::size_t c = 0; c < e.width; ++c) CHECK(e.rows.at(row, c) == rows[row * e.width + c]);
}

TEST_CASE("the executor leaves no trace in an exchange") {
  const batch b = random_batch(301, 4, 16, 8, 5);
  exchange<float> e(b, 333, 4);
  const auto run = [&](const distill::executor_ref& executor) {
    std::vector<unsigned char> bits;
    const auto keep = [&](const std::vector<unsigned char>& more) {
      bits.insert(bits.end(), more.begin(), more.end());
    };
    distill::dispatch_tokens(e.tokens.view(), e.order.view, e.row_output.view(), {.executor = executor});
    keep(e.row_output.bits());
    distill::combine_tokens(e.rows.view(), e.routing.view.weights, e.order.view, e.token_output.view(),
                            {.executor = executor});
    keep(e.token_output.bits());
    distill::dispatch_tokens_backward(e.rows.view(), e.order.view, e.token_output.view(),
                                      {.executor = executor});
    keep(e.token_output.bits());
    distill::combine_tokens_backward(e.tokens.view(), e.rows.view(), e.routing.view.weights, e.order.view,
                                     e.row_output.view(), e.slope_view(), {.executor = executor});
    keep(e.row_output.bits());
    for (float slope : e.slopes) {
      const auto* p = reinterpret_cast<const unsigned char*>(&slope);
      bits.insert(bits.end(), p, p + sizeof slope);
    }
    return bits;
  };
  const auto alone = run({});
  for (const std::size_t workers : {1u, 2u, 7u})
    for (const std::size_t block : {1u, 3u, 64u}) {
      support::block_executor executor(workers, block);
      CHECK(run(executor) == alone);
      CHECK(executor.calls() == 4);
    }
}

TEST_CASE("weights and their gradient in double, in any strides") {
  const batch b = random_batch(30, 3, 6, 8, 4);
  exchange<double> e(b, 1500, 1);
  distill::combine_tokens(e.rows.view(), e.routing.view.weights, e.order.view, e.token_output.view());
  const auto expected = elements(e.token_output);
  guarded_matrix<double> weights(30, b.weights, layout::padded_columns), slopes(30, 3, layout::every_third);
  slopes.fill(99);
  distill::combine_tokens(e.rows.view(), weights.view(), e.order.view, e.token_output.view());
  CHECK(elements(e.token_output) == expected);
  distill::combine_tokens_backward(e.tokens.view(), e.rows.view(), weights.view(), e.order.view,
                                   distill::no_exchange_gradient, slopes.view());
  for (std::size_t i = 0; i < b.ids.size(); ++i) {
    long double dot = 0, magnitude = 0;
    for (std::size_t c = 0; c < e.width && b.ids[i] >= 0; ++c) {
      const long double term = static_cast<long double>(e.tokens.at(i / 3, c)) *
                               e.rows.at(static_cast<std::size_t>(e.expected_order.rows[i]), c);
      dot += term, magnitude += std::abs(term);
    }
    CHECK(std::abs(static_cast<long double>(slopes.at(i / 3, i % 3)) - dot) <= 1e-14 * magnitude);
  }
  CHECK(slopes.is_intact());
}

TEST_CASE("NaN and infinity pass through where they are read, and nowhere else") {
  const batch b{3, 2, 2, {0, 1, 0, -1, -1, -1}, {0, 0.5, 1, 0, 0, 0}};
  exchange<float> e(b, 40, 1);
  const float infinity = std::numeric_limits<float>::infinity();
  e.rows(0, 3) = infinity;       // token 0, weight 0
  e.rows(2, 4) = std::nanf("");  // token 0, weight 1 / 2
  distill::combine_tokens(e.rows.view(), e.routing.view.weights, e.order.view, e.token_output.view());
  CHECK(std::isnan(e.token_output.at(0, 3)));
  CHECK(std::isnan(e.token_output.at(0, 4)));
  CHECK(std::isfinite(e.token_output.at(0, 5)));
  for (std::size_t c = 0; c < 40; ++c) CHECK(e.token_output.at(1, c) == e.rows.at(1, c));
  for (std::size_t c = 0; c < 40; ++c) CHECK(e.token_output.at(2, c) == 0);
}
