// What rows are to universal_logit: temperatures of their own, and slopes by them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/universal_logit.hpp>
#include <limits>
#include <vector>

#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/oracle.hpp"
#include "support/random_logits.hpp"

namespace universal_logit_tests {

using namespace distill;
using namespace support;

namespace {

using real = long double;
constexpr std::size_t rows = 6;

// T_s T_t Σ |q_(j) - p_(j)| of a row.
real row_value(const real* student, std::size_t n, const real* teacher, std::size_t m, real s, real t,
               bool squared) {
  auto q = oracle::softmax(student, n, s), p = oracle::softmax(teacher, m, t);
  q.resize(std::max(n, m));
  p.resize(std::max(n, m));
  std::sort(q.begin(), q.end(), std::greater<>());
  std::sort(p.begin(), p.end(), std::greater<>());
  real sum = 0;
  for (std::size_t j = 0; j < q.size(); ++j) sum += std::abs(q[j] - p[j]);
  return squared ? s * t * sum : sum;
}

struct varied {
  std::vector<float> weights = {1, 0.25f, 0, 3, -2, 0.5f};
  std::vector<float> temperatures = {1, 2, std::numeric_limits<float>::quiet_NaN(), 4, 1.5f, 0.75f};
  std::vector<float> teacher_temperatures = {2, 1, 0, 0.5f, 3, 1};

  std::vector<universal_logit> losses() const {
    return {universal_logit{.temperature = 2},
            universal_logit{.temperature = 2, .teacher_temperature = 3},
            universal_logit{.temperature = temperatures},
            universal_logit{.temperature = temperatures, .teacher_temperature = teacher_temperatures},
            universal_logit{.temperature = 3, .teacher_temperature = teacher_temperatures},
            universal_logit{.temperature = temperatures, .temperature_squared = false}};
  }
};

template <class T>
void check_rows(std::size_t n, std::size_t m, double allowed) {
  const varied v;
  std::vector<double> z = independent_logits(rows, n, n).student, t = independent_logits(rows, m, m).teacher;
  z[2 * n] = t[2 * m + 1] = std::numeric_limits<double>::quiet_NaN();
  for (const layout how : {layout::compact, layout::every_third}) {
    const guarded_matrix<T> student(rows, z, how), teacher(rows, t, how);
    const oracle::matrix exact_student = student.exact(), exact_teacher = teacher.exact();
    for (const universal_logit& loss : v.losses()) {
      const row_temperature of_teacher = loss.teacher_temperature.value_or(loss.temperature);
      std::vector<double> values(rows, 77), slopes(rows, 77);
      (void)loss(student.view(), teacher.view(), no_gradient,
                 {.row_weights = v.weights, .row_values = values, .temperature_slopes = slopes});
      for (std::size_t row = 0; row < rows; ++row) {
        CAPTURE(row, n, m);
        if (v.weights[row] == 0) {
          CHECK(values[row] == 0);
          CHECK(slopes[row] == 0);
          continue;
        }
        const auto at = [&](real offset) {
          return v.weights[row] * row_value(&exact_student.at(row, 0), n, &exact_teacher.at(row, 0), m,
                                            loss.temperature[row] + offset, of_teacher[row] + offset,
                                            loss.temperature_squared);
        };
        constexpr real step = 1e-5L;
        const real slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
        CHECK(values[row] == Approx(static_cast<double>(at(0))).epsilon(allowed));
        const double size = 2 * std::abs(static_cast<double>(at(0)) / loss.temperature[row]);
        CHECK(slopes[row] == Approx(static_cast<double>(slope / 5)).epsilon(allowed).margin(allowed * size));
      }
    }
  }
}

}  // namespace

TEST_CASE("universal_logit with a temperature for each row, and slopes by it") {
  for (const std::size_t other : {3u, 17u, 40u}) check_rows<double>(17, other, 1e-9);
  on_every_target([] {
    for (const std::size_t classes : {2u, 9u, 33u}) check_rows<float>(classes, 17, 2e-5);
  });
}

TEST_CASE("equal temperatures of all rows give the bits of one") {
  const guarded_matrix<float> student(rows, independent_logits(rows, 40, 1).student),
      teacher(rows, independent_logits(rows, 50, 2).teacher);
  guarded_matrix<float> plain(rows, 40), other(rows, 40);
  const std::vector<float> threes(rows, 3.0f), halves(rows, 0.5f);
  std::vector<double> slopes(rows), other_slopes(rows);
  const double value = universal_logit{.temperature = 3, .teacher_temperature = 0.5}(
      student.view(), teacher.view(), plain.view(), {.temperature_slopes = slopes});
  CHECK(universal_logit{.temperature = threes, .teacher_temperature = halves}(
            student.view(), teacher.view(), other.view(), {.temperature_slopes = other_slopes}) == value);
  CHECK(other.bits() == plain.bits());
  CHECK(other_slopes == slopes);
  // Not asking changes nothing.
  CHECK(universal_logit{.temperature = threes, .teacher_temperature = halves}(student.view(), teacher.view(),
                                                                              plain.view()) == value);
  CHECK(other.bits() == plain.bits());
}

TEST_CASE("slopes of universal_logit: denominators, executors, the gradient's place, what is no number") {
  const logit_pair logits = independent_logits(50, 30, 3);
  guarded_matrix<float> student(50, logits.student);
  const guarded_matrix<float> teacher(50, logits.teacher);
  const universal_logit loss{.temperature = 2};
  std::vector<double> expected(50), slopes(50);
  (void)loss(student.view(), teacher.view(), no_gradient, {.temperature_slopes = expected});
  for (const std::size_t block : {1u, 5u}) {
    block_executor executor(3, block);
    (void)loss(student.view(), teacher.view(), no_gradient,
               {.temperature_slopes = slopes, .executor = executor});
    CHECK(slopes == expected);
  }
  (void)loss(student.view(), teacher.view(), no_gradient, {.denominator = 25, .temperature_slopes = slopes});
  for (std::size_t row = 0; row < 50; ++row) CHECK(slopes[row] == Approx(2 * expected[row]).epsilon(1e-14));
  (void)loss(teacher.view(), teacher.view(), no_gradient, {.temperature_slopes = slopes});
  CHECK(slopes == std::vector<double>(50, 0.0));
  logit_pair bad = logits;
  bad.student[5] = std::numeric_limits<double>::quiet_NaN();
  bad.student[35] = bad.teacher[37] = -std::numeric_limits<double>::infinity();
  (void)loss(guarded_matrix<float>(50, bad.student).view(), guarded_matrix<float>(50, bad.teacher).view(),
             no_gradient, {.temperature_slopes = slopes});
  CHECK(std::isnan(slopes[0]));
  CHECK(std::isfinite(slopes[1]));
  CHECK(slopes[2] == expected[2]);
  (void)loss(student.view(), teacher.view(), student.view(), {.temperature_slopes = slopes});
  CHECK(slopes == expected);
}

TEST_CASE("what universal_logit refuses of rows' temperatures and slopes") {
  std::vector<float> s(12, 1), t(15, 2), g(12, 7);
  const matrix_view<const float> student(s.data(), 3, 4), teacher(t.data(), 3, 5);
  const matrix_view<float> gradient(g.data(), 3, 4);
  const std::vector<float> two(2, 1.0f), bad = {1, 0, 1};
  std::vector<double> slopes(3, 7.0);
  const auto refuse = [&](const std::string& message, const universal_logit& loss,
                          const row_options& options = {}) {
    CHECK_THROWS_WITH(loss(student, teacher, gradient, options), message);
    CHECK(g == std::vector<float>(12, 7));
    CHECK(slopes == std::vector<double>(3, 7.0));
  };
  refuse("universal_logit: temperature has 2 entries, student has 3 rows", {.temperature = two});
  refuse("universal_logit: teacher_temperature[1] must be finite and > 0, got 0",
         {.teacher_temperature = bad}, {.temperature_slopes = slopes});
  refuse("universal_logit: temperature_slopes has 2 entries, student has 3 rows", {},
         {.temperature_slopes = {slopes.data(), 2}});
  refuse("universal_logit: gradient overlaps temperature",
         {.temperature = vector_view<const float>(g.data() + 1, 3)});
}

}  // namespace universal_logit_tests
