// The ranking losses against their definition in long double: every pair, one by one.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/ranking_hinge.hpp>
#include <distill/loss/ranking_logistic.hpp>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace ranking_tests {

using namespace distill;
using namespace support;

namespace {

using real = long double;
constexpr double inf = std::numeric_limits<double>::infinity();

struct pair_loss {
  bool is_hinge;
  real margin, temperature;
  std::size_t classes;

  explicit pair_loss(const ranking_hinge& loss)
      : is_hinge(true), margin(loss.margin), temperature(loss.temperature.number()), classes(loss.classes) {}
  explicit pair_loss(const ranking_logistic& loss)
      : is_hinge(false), margin(0), temperature(loss.temperature.number()), classes(loss.classes) {}

  real value(real x) const { return is_hinge ? std::max<real>(0, margin - x) : std::log1p(std::exp(-x)); }
  real slope(real x) const { return is_hinge ? (margin > x ? -1 : 0) : -1 / (1 + std::exp(x)); }
};

// Value, and gradient times factor added.
real row_of(const pair_loss& loss, const real* z, const real* t, std::size_t n, real factor, real* gradient) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return t[a] > t[b]; });
  if (loss.classes != 0 && loss.classes < n) order.resize(loss.classes);
  real value = 0, pairs = 0;
  for (const std::size_t i : order)
    for (const std::size_t j : order) pairs += t[i] > t[j] ? 1 : 0;
  for (const std::size_t i : order)
    for (const std::size_t j : order) {
      if (!(t[i] > t[j])) continue;
      const real x = (z[i] - z[j]) / loss.temperature, slope = loss.slope(x) / loss.temperature / pairs;
      value += loss.value(x) / pairs;
      gradient[i] += factor * slope;
      gradient[j] -= factor * slope;
    }
  return value;
}

oracle::answer expected(const pair_loss& loss, const oracle::matrix& student, const oracle::matrix& teacher,
                        const std::vector<float>& weights = {}) {
  oracle::answer answer;
  answer.gradient = oracle::matrix(student.rows, student.classes);
  answer.row_values.resize(student.rows);
  const auto weight = [&](std::size_t row) { return weights.empty() ? real{1} : weights[row]; };
  real counted = 0;
  for (std::size_t row = 0; row < student.rows; ++row) counted += weight(row) != 0 ? 1 : 0;
  for (std::size_t row = 0; row < student.rows; ++row) {
    if (weight(row) == 0) continue;
    answer.row_values[row] =
        weight(row) * row_of(loss, &student.at(row, 0), &teacher.at(row, 0), student.classes,
                             weight(row) / counted, &answer.gradient.at(row, 0));
    answer.value += answer.row_values[row] / counted;
  }
  return answer;
}

template <class S, class T, class G, class Loss>
void check(const Loss& loss, const logit_pair& logits, layout how, double value_error,
           double gradient_error) {
  const guarded_matrix<S> student(logits.rows, logits.student, how, 1);
  const guarded_matrix<T> teacher(logits.rows, logits.teacher, how);
  guarded_matrix<G> gradient(logits.rows, logits.classes, how, 1);
  const double value = loss(student.view(), teacher.view(), gradient.view());
  const oracle::answer answer = expected(pair_loss(loss), student.exact(), teacher.exact());
  INFO(to_string(loss) << ", " << logits.rows << " x " << logits.classes << ", " << name_of(how));
  CHECK(relative(value, answer.value) <= value_error);
  CHECK(relative(gradient.exact(), answer.gradient) <= gradient_error + rounding_of(element_traits<G>::type));
  CHECK(gradient.is_intact());
  CHECK(loss(student.view(), teacher.view()) == value);
}

template <class F>
void for_each_loss(F f) {
  f(ranking_hinge{});
  f(ranking_hinge{.temperature = 2, .margin = 0.5, .classes = 5});
  f(ranking_logistic{});
  f(ranking_logistic{.temperature = 2, .classes = 20});
}

}  // namespace

TEST_CASE("ranking losses on every target and size") {
  on_every_target([&] {
    for (const std::size_t classes : {1u, 2u, 3u, 7u, 8u, 9u, 16u, 17u, 33u, 70u}) {
      const logit_pair logits = independent_logits(5, classes, classes + 1);
      for_each_loss([&](const auto& loss) {
        check<float, float, float>(loss, logits, layout::padded_rows, 1e-6, 2e-6);
        check<double, double, double>(loss, logits, layout::compact, 1e-12, 1e-12);
      });
    }
  });
}

TEST_CASE("ranking losses of the largest of many classes") {
  const logit_pair logits = independent_logits(2, 5000, 1);
  for (const std::size_t k : {1u, 2u, 10u, 31u, 40u, 500u}) {
    check<float, float, float>(ranking_hinge{.classes = k}, logits, layout::compact, 1e-6, 2e-6);
    check<float, float, float>(ranking_logistic{.classes = k}, logits, layout::compact, 1e-6, 2e-6);
  }
  check<float, float, float>(ranking_logistic{}, independent_logits(1, 1500, 1), layout::compact, 1e-6, 2e-6);
  check<float, float, float>(ranking_hinge{.classes = 900}, independent_logits(2, 70, 1), layout::compact,
                             1e-6, 2e-6);
}

TEST_CASE("ranking losses of every layout and element type") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows})
    for_each_loss([&](const auto& loss) {
      const logit_pair logits = independent_logits(21, 26, 5);
      check<float, float, float>(loss, logits, how, 1e-6, 2e-6);
      check<float, bfloat16, float>(loss, logits, how, 1e-6, 2e-6);
      check<bfloat16, float16, bfloat16>(loss, logits, how, 1e-6, 2e-6);
      check<float16, float, float>(loss, logits, how, 1e-6, 2e-6);
      check<double, float, double>(loss, logits, how, 1e-12, 1e-12);
    });
}

TEST_CASE("the gradient of a ranking loss is the derivative of its value") {
  logit_pair logits = independent_logits(4, 12, 3);
  const std::vector<float> upstream = {0.3f, -1.2f, 2, 0.7f};
  const matrix_view<double> student(logits.student.data(), 4, 12), teacher(logits.teacher.data(), 4, 12);
  std::vector<double> slopes(48);
  const row_options how{.row_weights = upstream};
  for_each_loss([&](const auto& loss) {
    (void)loss(student, teacher, matrix_view<double>(slopes.data(), 4, 12), how);
    constexpr double step = 1e-6;
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      const double at = logits.student[i];
      logits.student[i] = at + step;
      const double above = loss(student, teacher, no_gradient, how);
      logits.student[i] = at - step;
      CHECK(slopes[i] ==
            Approx((above - loss(student, teacher, no_gradient, how)) / (2 * step)).margin(1e-9));
      logits.student[i] = at;
    }
  });
}

TEST_CASE("every option of a ranking loss matters, and is written in its text") {
  const logit_pair logits = independent_logits(3, 12, 5);
  const guarded_matrix<double> student(3, logits.student), teacher(3, logits.teacher);
  const auto value = [&](const auto& loss) { return loss(student.view(), teacher.view()); };
  CHECK(value(ranking_hinge{.temperature = 2}) != Approx(value(ranking_hinge{})));
  CHECK(value(ranking_hinge{.margin = 2}) != Approx(value(ranking_hinge{})));
  CHECK(value(ranking_hinge{.classes = 6}) != Approx(value(ranking_hinge{})));
  CHECK(value(ranking_logistic{.temperature = 2}) != Approx(value(ranking_logistic{})));
  CHECK(value(ranking_logistic{.classes = 6}) != Approx(value(ranking_logistic{})));
  CHECK(value(ranking_logistic{}) != Approx(value(ranking_hinge{})));
  CHECK(to_string(ranking_hinge{.margin = 0.5, .classes = 8}) ==
        "ranking_hinge{.temperature = 1, .margin = 0.5, .classes = 8}");
  CHECK(to_string(ranking_logistic{.temperature = 3}) == "ranking_logistic{.temperature = 3}");
}

TEST_CASE("what the teacher does not tell apart forms no pair") {
  const float student[] = {0, 2, 1, 5}, tied[] = {1, 1, 0, 1}, flat[] = {3, 3, 3, 3};
  const float none = -std::numeric_limits<float>::infinity(), masked[] = {1, none, 0, none};
  float gradient[4];
  const matrix_view<const float> z(student, 1, 4);
  const auto value = [&](const auto& loss, const float* teacher) {
    return loss(z, matrix_view<const float>(teacher, 1, 4), matrix_view<float>(gradient, 1, 4));
  };
  // Pairs (0, 2), (1, 2), (3, 2): 1 - x = 2, 0, -3.
  CHECK(value(ranking_hinge{}, tied) == Approx(2.0 / 3));
  CHECK(gradient[0] == Approx(-1.0 / 3));
  CHECK(gradient[1] == 0);
  CHECK(gradient[2] == Approx(1.0 / 3));
  CHECK(gradient[3] == 0);
  CHECK(value(ranking_hinge{.classes = 3}, tied) == 0);  // the three are equal
  CHECK(value(ranking_hinge{.classes = 2}, tied) == 0);
  CHECK(value(ranking_logistic{}, flat) == 0);
  for (const float slope : gradient) CHECK(slope == 0);
  // (0, 2), (0, 1), (0, 3), (2, 1), (2, 3), but not (1, 3): 1 - x = 2, 3, 6, 2, 5.
  CHECK(value(ranking_hinge{}, masked) == Approx(18.0 / 5));
  const float last = 7;
  float slope = 7;
  CHECK(ranking_logistic{}(matrix_view<const float>(&last, 1, 1), matrix_view<const float>(&last, 1, 1),
                           matrix_view<float>(&slope, 1, 1)) == 0);
  CHECK(slope == 0);
}

TEST_CASE("a right ranking by the margin costs nothing") {
  const float student[] = {4, 1, 2.5f, 0}, teacher[] = {9, 2, 3, 1};
  float gradient[4] = {7, 7, 7, 7};
  CHECK(ranking_hinge{}(matrix_view<const float>(student, 1, 4), matrix_view<const float>(teacher, 1, 4),
                        matrix_view<float>(gradient, 1, 4)) == 0);
  for (const float slope : gradient) CHECK(slope == 0);
}

TEST_CASE("ranking losses of infinities and NaN") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto on = [&](std::vector<double> z, std::vector<double> t, auto check_values) {
    for_each_loss([&](const auto& loss) {
      const auto in = [&]<class T>(T) {
        const guarded_matrix<T> student(2, z), teacher(2, t);
        guarded_matrix<T> gradient(2, 3);
        std::vector<double> values(2);
        (void)loss(student.view(), teacher.view(), gradient.view(), {.row_values = values});
        INFO(to_string(loss) << ", " << name_of(element_traits<T>::type));
        check_values(values, gradient);
      };
      in(float{});
      in(double{});
    });
  };
  // A loser of -inf costs nothing; a winner of -inf is infinitely wrong, with a finite gradient.
  on({1, -inf, 0, -inf, 1, 0}, {2, 0, 1, 2, 0, 1}, [](const auto& values, const auto& gradient) {
    CHECK(std::isfinite(values[0]));
    CHECK(values[1] == inf);
    for (std::size_t i = 0; i < 6; ++i) CHECK(std::isfinite(gradient.at(i / 3, i % 3)));
    CHECK(gradient.at(1, 0) < 0);
  });
  const auto is_nan_in_row_1 = [](const auto& values, const auto& gradient) {
    CHECK(std::isfinite(values[0]));
    CHECK(std::isnan(values[1]));
    for (std::size_t i = 0; i < 6; ++i) CHECK(std::isnan(gradient.at(i / 3, i % 3)) == (i >= 3));
  };
  on({1, 2, 0, nan, 1, 0}, {2, 0, 1, 2, 0, 1}, is_nan_in_row_1);
  on({1, 2, 0, 2, 1, 0}, {2, 0, 1, 2, nan, 1}, is_nan_in_row_1);
  on({1, 2, 0, -inf, -inf, 0}, {2, 0, 1, 2, 0, 1}, is_nan_in_row_1);
  on({1, 2, 0, 1, 2, 0}, {inf, -inf, 1, inf, inf, -inf}, [](const auto& values, const auto&) {
    CHECK(std::isfinite(values[0]));
    CHECK(std::isfinite(values[1]));
  });
}

TEST_CASE("logits whose differences overflow float are redone in double") {
  const float student[] = {-3e38f, 3e38f, 0}, teacher[] = {2, 1, 0};
  float gradient[3];
  const double value = ranking_hinge{.classes = 2}(matrix_view<const float>(student, 1, 3),
                                                   matrix_view<const float>(teacher, 1, 3),
                                                   matrix_view<float>(gradient, 1, 3));
  CHECK(value == Approx(6e38).epsilon(1e-6));
  CHECK(gradient[0] == -1);
  CHECK(gradient[1] == 1);
}

TEST_CASE("ranking losses in an objective") {
  const std::vector<std::int32_t> labels = {3, 1, 0, 9};
  for (const std::size_t classes : {10u, 70u})
    for (const bool in_double : {false, true}) {
      const logit_pair logits = independent_logits(4, classes, classes);
      const auto in = [&]<class T>(T) {
        const guarded_matrix<T> student(4, logits.student), teacher(4, logits.teacher);
        guarded_matrix<T> total(4, classes), part(4, classes);
        const objective sum = 0.5 * forward_kl{.temperature = 2} + 2 * ranking_hinge{.classes = 7} +
                              logit_mse{} + 0.3 * cross_entropy{.labels = labels} + ranking_logistic{};
        const double value = sum(student.view(), teacher.view(), total.view());
        double expected_value = 0;
        bool first = true;
        for (const loss_term& term : sum.terms()) {
          const row_options how{.accumulate = !first};
          expected_value += evaluate(term.name, {&term, 1}, student.view(), teacher.view(), part.view(), how);
          first = false;
        }
        CHECK(value == Approx(expected_value).epsilon(1e-6));
        for (std::size_t i = 0; i < 4 * classes; ++i)
          CHECK(total.at(i / classes, i % classes) ==
                Approx(part.at(i / classes, i % classes)).epsilon(1e-5).margin(1e-6));
      };
      in_double ? in(double{}) : in(float{});
    }
}

TEST_CASE("row options of ranking losses") {
  logit_pair logits = independent_logits(4, 10, 6);
  for (std::size_t c = 0; c < 10; ++c) logits.teacher[10 + c] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> weights = {1, 0, 2, -0.5f};
  const guarded_matrix<float> student(4, logits.student), teacher(4, logits.teacher);
  for_each_loss([&](const auto& loss) {
    guarded_matrix<float> gradient(4, 10), added(4, 10);
    std::vector<double> values(4, 77);
    const oracle::answer answer = expected(pair_loss(loss), student.exact(), teacher.exact(), weights);
    const double mean =
        loss(student.view(), teacher.view(), gradient.view(), {.row_weights = weights, .row_values = values});
    CHECK(relative(mean, answer.value) < 1e-5);
    CHECK(relative(gradient.exact(), answer.gradient) < 2e-6);
    for (std::size_t row = 0; row < 4; ++row)
      CHECK(values[row] == Approx(static_cast<double>(answer.row_values[row])).epsilon(1e-6));
    for (std::size_t c = 0; c < 10; ++c) CHECK(gradient.at(1, c) == 0);
    CHECK(loss(student.view(), teacher.view(), no_gradient, {.row_weights = weights, .denominator = 6}) ==
          Approx(mean / 2));
    CHECK(loss(student.view(), teacher.view(), no_gradient,
               {.reduction = reduction::mean, .row_weights = weights}) == Approx(mean / 10));
    added.fill(1);
    (void)loss(student.view(), teacher.view(), added.view(), {.row_weights = weights, .accumulate = true});
    for (std::size_t i = 0; i < 40; ++i)
      CHECK(added.at(i / 10, i % 10) == Approx(1 + gradient.at(i / 10, i % 10)).margin(1e-6));
  });
}

TEST_CASE("a ranking loss takes a temperature for each row") {
  constexpr std::size_t kCount = 5, kClasses = 33;
  const logit_pair logits = independent_logits(kCount, kClasses, 8);
  const guarded_matrix<float> student(kCount, logits.student), teacher(kCount, logits.teacher);
  const std::vector<float> temperatures = {0.5f, 1, 2, 4, 7};
  const auto check = [&](auto loss) {
    guarded_matrix<float> gradient(kCount, kClasses), of_one(kCount, kClasses);
    std::vector<double> values(kCount), values_of_one(kCount);
    loss.temperature = temperatures;
    loss(student.view(), teacher.view(), gradient.view(), {.row_values = values});
    for (std::size_t row = 0; row < kCount; ++row) {
      loss.temperature = static_cast<double>(temperatures[row]);
      loss(student.view(), teacher.view(), of_one.view(), {.row_values = values_of_one});
      CHECK(values[row] == values_of_one[row]);
      for (std::size_t c = 0; c < kClasses; ++c) CHECK(gradient(row, c) == of_one(row, c));
    }
  };
  check(ranking_hinge{});
  check(ranking_logistic{});
}

TEST_CASE("any executor gives the same bits of a ranking loss") {
  const logit_pair logits = independent_logits(300, 40, 4);
  const guarded_matrix<float> student(300, logits.student), teacher(300, logits.teacher);
  for_each_loss([&](const auto& loss) {
    guarded_matrix<float> serial(300, 40);
    const double value = loss(student.view(), teacher.view(), serial.view());
    for (const std::size_t workers : {1u, 4u})
      for (const std::size_t block : {1u, 5u}) {
        block_executor executor(workers, block);
        guarded_matrix<float> gradient(300, 40);
        CHECK(loss(student.view(), teacher.view(), gradient.view(), {.executor = executor}) == value);
        CHECK(gradient.bits() == serial.bits());
      }
  });
}

TEST_CASE("what a ranking loss refuses, and that nothing is written then") {
  std::vector<float> s(12, 1), t(12, 2), g(12, 7);
  const matrix_view<const float> student(s.data(), 3, 4), teacher(t.data(), 3, 4);
  const matrix_view<float> gradient(g.data(), 3, 4);
  const auto refuse = [&](const std::string& message, const auto& loss, const matrix_view<const float>& v) {
    CHECK_THROWS_WITH(loss(student, v, gradient), message);
    CHECK(g == std::vector<float>(12, 7));
  };
  refuse("ranking_hinge: margin must be finite and >= 0, got -1", ranking_hinge{.margin = -1}, teacher);
  refuse("ranking_hinge: margin must be finite and >= 0, got inf", ranking_hinge{.margin = inf}, teacher);
  refuse("ranking_hinge: temperature must be finite and > 0, got 0", ranking_hinge{.temperature = 0},
         teacher);
  refuse("ranking_logistic: temperature must be finite and > 0, got -2", ranking_logistic{.temperature = -2},
         teacher);
  refuse("ranking_logistic: teacher has 3 classes, student has 4", ranking_logistic{},
         matrix_view<const float>(t.data(), 3, 3));
  CHECK_THROWS_WITH(ranking_logistic{}(student, no_teacher, gradient), "ranking_logistic: needs a teacher");
}

}  // namespace ranking_tests
