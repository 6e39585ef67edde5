// The correlation of student and teacher, against its definition in long double and central differences of
// that.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/correlation.hpp>
#include <limits>
#include <string>
#include <vector>

#include "loss/correlation_oracle.hpp"
#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace correlation_tests {

using namespace distill;
using namespace support;

namespace {

batch_correlation oracle_of(const correlation& loss, std::size_t rows,
                            const std::vector<float>& weights = {}) {
  batch_correlation result;
  const row_temperature teacher = loss.teacher_temperature.value_or(loss.temperature);
  for (std::size_t row = 0; row < rows; ++row) {
    result.weights.push_back(weights.empty() ? real{1} : real{weights[row]});
    result.temperatures.push_back(loss.temperature[row]);
    result.teacher_temperatures.push_back(teacher[row]);
  }
  result.temperature_squared = loss.temperature_squared;
  result.beta = loss.beta;
  result.gamma = loss.gamma;
  return result;
}

real expected_value(const correlation& loss, const oracle::matrix& student, const oracle::matrix& teacher) {
  return expected_sum(oracle_of(loss, student.rows), student, teacher) / student.rows;
}
oracle::matrix expected_gradient(const correlation& loss, const oracle::matrix& student,
                                 const oracle::matrix& teacher) {
  return expected_gradient(oracle_of(loss, student.rows), student, teacher, student.rows);
}

template <class S, class T, class G>
void check(const correlation& loss, const logit_pair& logits, layout how, double value_error,
           double gradient_error) {
  const guarded_matrix<S> student(logits.rows, logits.student, how, 1);
  const guarded_matrix<T> teacher(logits.rows, logits.teacher, how);
  guarded_matrix<G> gradient(logits.rows, logits.classes, how, 1);
  const double value = loss(student.view(), teacher.view(), gradient.view());
  INFO(logits.rows << " x " << logits.classes << ", " << name_of(how));
  CHECK(relative(value, expected_value(loss, student.exact(), teacher.exact())) < value_error);
  CHECK(relative(gradient.exact(), expected_gradient(loss, student.exact(), teacher.exact())) <
        gradient_error + rounding_of(element_traits<G>::type));
  CHECK(gradient.is_intact());
  CHECK(loss(student.view(), teacher.view()) == value);
}

const correlation plain{}, hot{.temperature = 4, .teacher_temperature = 2, .beta = 0.5, .gamma = 3};

}  // namespace

TEST_CASE("correlation on every target and size") {
  on_every_target([&] {
    for (const std::size_t classes : {3u, 7u, 8u, 9u, 16u, 17u, 33u})
      for (const std::size_t rows : {3u, 8u, 9u}) {
        const logit_pair logits = independent_logits(rows, classes, rows + classes, 1.5);
        check<float, float, float>(hot, logits, layout::padded_rows, 2e-6, 2e-5);
        if (classes < 10) check<double, double, double>(plain, logits, layout::compact, 1e-11, 1e-11);
      }
    check<float, float, float>(hot, independent_logits(17, 5, 2, 1.5), layout::padded_rows, 2e-6, 2e-5);
  });
}

// Two numbers correlate fully or not at all: each part of two has no gradient.
TEST_CASE("two classes, and two rows") {
  for (const auto& [rows, classes] : {std::pair<std::size_t, std::size_t>{2, 2}, {2, 9}, {17, 2}}) {
    const logit_pair logits = independent_logits(rows, classes, 3, 1.5);
    const guarded_matrix<float> student(rows, logits.student), teacher(rows, logits.teacher);
    guarded_matrix<float> gradient(rows, classes);
    const double value = plain(student.view(), teacher.view(), gradient.view());
    CHECK(relative(value, expected_value(plain, student.exact(), teacher.exact())) < 2e-6);
    CHECK(absolute(gradient.exact(), expected_gradient(plain, student.exact(), teacher.exact())) < 1e-6);
  }
}

TEST_CASE("correlation of sharper rows and of more classes than a tile") {
  check<float, float, float>(plain, independent_logits(5, 12, 1, 4), layout::compact, 2e-6, 2e-5);
  for (const std::size_t classes : {64u, 270u}) {
    const logit_pair logits = independent_logits(3, classes, classes, 2);
    check<float, float, float>(plain, logits, layout::compact, 2e-6, 2e-5);
  }
}

TEST_CASE("correlation of every layout and element type") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows}) {
    const logit_pair logits = independent_logits(9, 19, 5, 1.5);
    check<float, float, float>(hot, logits, how, 2e-6, 2e-5);
    check<float, bfloat16, float>(hot, logits, how, 2e-6, 2e-5);
    check<bfloat16, float16, bfloat16>(hot, logits, how, 2e-6, 2e-5);
    check<float16, float, float>(hot, logits, how, 2e-6, 2e-5);
    check<float, double, float>(hot, logits, how, 1e-11, 1e-6);
    check<double, float, double>(hot, logits, how, 1e-11, 1e-11);
  }
}

TEST_CASE("nearly equal teacher and student keep their digits") {
  const logit_pair logits = near_equal_logits(16, 10, 3);
  check<float, float, float>(plain, logits, layout::compact, 1e-5, 1e-4);
  check<double, double, double>(plain, logits, layout::compact, 1e-11, 1e-9);
}

TEST_CASE("equal logits give exactly 0") {
  const logit_pair logits = independent_logits(21, 70, 2);
  on_every_target([&] {
    const guarded_matrix<float> both(21, logits.teacher);
    const guarded_matrix<double> wide(21, logits.teacher);
    guarded_matrix<float> gradient(21, 70);
    guarded_matrix<double> wide_gradient(21, 70);
    CHECK(correlation{.temperature = 3}(both.view(), both.view(), gradient.view()) == 0);
    CHECK(correlation{.temperature = 3}(wide.view(), wide.view(), wide_gradient.view()) == 0);
    for (std::size_t i = 0; i < 21 * 70; ++i) {
      REQUIRE(gradient.at(i / 70, i % 70) == 0);
      REQUIRE(wide_gradient.at(i / 70, i % 70) == 0);
    }
  });
}

TEST_CASE("every option of correlation matters") {
  const logit_pair logits = independent_logits(6, 5, 7, 1);
  const guarded_matrix<double> student(6, logits.student), teacher(6, logits.teacher);
  const auto value = [&](const correlation& loss) { return loss(student.view(), teacher.view()); };
  const double base = value({}), rows_alone = value({.gamma = 0}), classes_alone = value({.beta = 0});
  CHECK(base == Approx(rows_alone + classes_alone).epsilon(1e-13));
  CHECK(rows_alone > 0);
  CHECK(classes_alone > 0);
  CHECK(value({.beta = 2, .gamma = 0.5}) == Approx(2 * rows_alone + 0.5 * classes_alone).epsilon(1e-13));
  CHECK(value({.temperature = 2}) != Approx(base));
  CHECK(value({.teacher_temperature = 2}) != Approx(base));
  CHECK(value({.temperature = 2, .teacher_temperature = 3}) ==
        Approx(6 * value({.temperature = 2, .teacher_temperature = 3, .temperature_squared = false}))
            .epsilon(1e-13));
  for (const correlation& loss : {correlation{.gamma = 0}, correlation{.beta = 0},
                                  correlation{.temperature = 2, .temperature_squared = false}})
    check<double, double, double>(loss, logits, layout::compact, 1e-11, 1e-11);
}

TEST_CASE("rows and classes without a correlation") {
  const float even[] = {1, 1, 1, 1, 1, 1}, uneven[] = {1, 2, 3, 3, 1, 2};
  float gradient[6] = {7, 7, 7, 7, 7, 7};
  const matrix_view<const float> flat(even, 2, 3), some(uneven, 2, 3);
  const matrix_view<float> g(gradient, 2, 3);
  CHECK(correlation{}(flat, some, g) == 2);  // neither rows nor classes of the student vary
  for (const float slope : gradient) CHECK(slope == 0);
  CHECK(correlation{}(some, flat, g) == 2);
  for (const float slope : gradient) CHECK(slope == 0);
  CHECK(correlation{}(flat, flat, g) == 0);
  // One row: nothing to correlate over the batch. One class: nothing within a row, nor over the batch.
  const matrix_view<const float> one(uneven, 1, 3), other(uneven + 3, 1, 3);
  CHECK(correlation{.beta = 0}(one, other) == 0);
  CHECK(correlation{}(one, other) == correlation{.gamma = 0}(one, other));
  CHECK(correlation{}(matrix_view<const float>(uneven, 6, 1), matrix_view<const float>(even, 6, 1)) == 0);
}

TEST_CASE("a logit of -inf is probability 0") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  logit_pair logits = independent_logits(5, 6, 3, 1);
  logits.student[2] = logits.teacher[9] = -inf;
  for (std::size_t row = 0; row < 5; ++row) logits.student[row * 6 + 4] = logits.teacher[row * 6 + 4] = -inf;
  const guarded_matrix<double> student(5, logits.student), teacher(5, logits.teacher);
  guarded_matrix<double> gradient(5, 6);
  const double value = correlation{}(student.view(), teacher.view(), gradient.view());
  CHECK(value ==
        Approx(static_cast<double>(expected_value({}, student.exact(), teacher.exact()))).epsilon(1e-11));
  for (std::size_t row = 0; row < 5; ++row) CHECK(gradient.at(row, 4) == 0);
}

TEST_CASE("NaN, +inf and rows of -inf spoil value and gradient of the batch") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const logit_pair good = independent_logits(4, 5, 3, 1);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), inf, -inf})
    for (const bool in_student : {true, false}) {
      logit_pair logits = good;
      for (std::size_t c = bad == -inf ? 0 : 4; c < 5; ++c)
        (in_student ? logits.student : logits.teacher)[5 + c] = bad;
      const guarded_matrix<float> student(4, logits.student), teacher(4, logits.teacher);
      guarded_matrix<float> gradient(4, 5);
      CHECK(std::isnan(correlation{}(student.view(), teacher.view(), gradient.view())));
      for (std::size_t i = 0; i < 20; ++i) CHECK(std::isnan(gradient.at(i / 5, i % 5)));
    }
  // Also where the other side has no correlation.
  const float even[] = {1, 1}, spoiled[] = {1, std::numeric_limits<float>::quiet_NaN()};
  CHECK(std::isnan(
      correlation{}(matrix_view<const float>(even, 1, 2), matrix_view<const float>(spoiled, 1, 2))));
}

TEST_CASE("logits beyond the range of their exponentials") {
  const float huge[] = {3e38f, -3e38f, 1e38f, -3e38f, 3e38f, 0}, mild[] = {1, 0, 0, 0, 1, 0};
  float gradient[6];
  const double value = correlation{.temperature = 1e-30}(matrix_view<const float>(huge, 2, 3),
                                                         matrix_view<const float>(mild, 2, 3),
                                                         matrix_view<float>(gradient, 2, 3));
  CHECK(value == 0);  // both are one-hot at the same places
  for (const float slope : gradient) CHECK(slope == 0);
}

TEST_CASE("masked rows are left out of both parts and never read") {
  logit_pair logits = independent_logits(7, 6, 1, 1);
  logit_pair few{5, 6, {}, {}};
  for (std::size_t i = 0; i < 42; ++i) {
    if (i / 6 == 0 || i / 6 == 4) {
      logits.student[i] = logits.teacher[i] = std::numeric_limits<double>::quiet_NaN();
    } else {
      few.student.push_back(logits.student[i]);
      few.teacher.push_back(logits.teacher[i]);
    }
  }
  const std::vector<float> mask = {0, 1, 1, 1, 0, 1, 1}, none(7, 0.0f);
  const guarded_matrix<float> student(7, logits.student), teacher(7, logits.teacher),
      short_student(5, few.student), short_teacher(5, few.teacher);
  guarded_matrix<float> gradient(7, 6), expected(5, 6);
  const double value = hot(student.view(), teacher.view(), gradient.view(), {.row_weights = mask});
  CHECK(value == Approx(hot(short_student.view(), short_teacher.view(), expected.view())).epsilon(1e-14));
  for (std::size_t row = 0, i = 0; row < 7; ++row) {
    for (std::size_t c = 0; c < 6; ++c)
      CHECK(gradient.at(row, c) == Approx(mask[row] == 0 ? 0 : expected.at(i, c)).epsilon(1e-6));
    i += mask[row] == 0 ? 0 : 1;
  }
  CHECK(hot(student.view(), teacher.view(), gradient.view(), {.row_weights = none}) == 0);
  for (std::size_t i = 0; i < 42; ++i) CHECK(gradient.at(i / 6, i % 6) == 0);
}

TEST_CASE("accumulation, workspace and aliasing of correlation") {
  const logit_pair logits = independent_logits(9, 11, 4, 1);
  for (const layout how : {layout::compact, layout::every_third}) {
    guarded_matrix<float> student(9, logits.student, how), teacher(9, logits.teacher, how);
    guarded_matrix<float> once(9, 11, how), added(9, 11, how);
    workspace kept;
    const double value = plain(student.view(), teacher.view(), once.view());
    added.fill(1);
    const std::vector<float> mask = {1, 1, 1, 1, 1, 1, 1, 1, 0};
    const std::vector<float> three(9, 3.0f);
    const row_options thrice{.row_weights = three, .accumulate = true, .workspace = &kept};
    CHECK(plain(student.view(), teacher.view(), added.view(), thrice) == Approx(3 * value).epsilon(1e-14));
    for (std::size_t i = 0; i < 99; ++i)
      CHECK(added.at(i / 11, i % 11) == Approx(1 + 3 * once.at(i / 11, i % 11)).margin(1e-6));
    const std::size_t size = kept.size();
    CHECK(size > 0);
    added.fill(1);
    (void)plain(student.view(), teacher.view(), added.view(),
                {.row_weights = mask, .accumulate = true, .workspace = &kept});
    CHECK(kept.size() == size);
    CHECK(added.at(8, 3) == 1);
    CHECK(plain(student.view(), teacher.view(), student.view()) ==
          value);  // the gradient in the logits' place
    CHECK(student.bits() == once.bits());
  }
}

TEST_CASE("any executor gives the same bits of a correlation") {
  for (const auto& [rows, classes] : {std::pair<std::size_t, std::size_t>{130, 10}, {40, 700}, {5, 3000}}) {
    const logit_pair logits = independent_logits(rows, classes, 4);
    const guarded_matrix<float> student(rows, logits.student), teacher(rows, logits.teacher);
    guarded_matrix<float> serial(rows, classes);
    const double value = plain(student.view(), teacher.view(), serial.view());
    for (const std::size_t workers : {1u, 4u})
      for (const std::size_t block : {1u, 3u, 50u}) {
        block_executor executor(workers, block);
        guarded_matrix<float> gradient(rows, classes);
        CHECK(plain(student.view(), teacher.view(), gradient.view(), {.executor = executor}) == value);
        CHECK(gradient.bits() == serial.bits());
        CHECK(executor.calls() == 3);
      }
  }
}

TEST_CASE("what correlation refuses, and that nothing is written then") {
  std::vector<float> s(12, 1), t(12, 2), g(24, 7);
  const matrix_view<const float> student(s.data(), 3, 4), teacher(t.data(), 3, 4);
  const matrix_view<float> gradient(g.data(), 3, 4);
  constexpr double inf = std::numeric_limits<double>::infinity();
  const auto refuse = [&](const std::string& message, const correlation& loss,
                          const matrix_view<const float>& z, const matrix_view<const float>& v,
                          const matrix_view<float>& out, const row_options& rows = {}) {
    CHECK_THROWS_WITH(loss(z, v, out, rows), message);
    CHECK(g == std::vector<float>(24, 7));
  };
  const std::vector<float> two(2, 1.0f);
  refuse("correlation: temperature must be finite and > 0, got 0", {.temperature = 0}, student, teacher,
         gradient);
  refuse("correlation: teacher_temperature must be finite and > 0, got -1", {.teacher_temperature = -1},
         student, teacher, gradient);
  refuse("correlation: beta must be finite, got inf", {.beta = inf}, student, teacher, gradient);
  refuse("correlation: gamma must be finite, got -inf", {.gamma = -inf}, student, teacher, gradient);
  refuse("correlation: student has 0 rows", {}, matrix_view<const float>(s.data(), 0, 4), teacher, gradient);
  refuse("correlation: student has 0 classes", {}, matrix_view<const float>(s.data(), 3, 0), teacher,
         gradient);
  refuse("correlation: teacher has 2 rows, student has 3", {}, student,
         matrix_view<const float>(t.data(), 2, 4), gradient);
  refuse("correlation: teacher has 3 classes, student has 4", {}, student,
         matrix_view<const float>(t.data(), 3, 3), gradient);
  refuse("correlation: student has no memory", {}, matrix_view<const float>(nullptr, 3, 4), teacher,
         gradient);
  refuse("correlation: gradient has 5 classes, student has 4", {}, student, teacher,
         matrix_view<float>(g.data(), 3, 5));
  refuse("correlation: row_weights has 2 entries, student has 3 rows", {}, student, teacher, gradient,
         {.row_weights = two});
  const std::vector<float> negative = {1, 2, -1};
  refuse("correlation: row_weights[2] must be >= 0 unless gamma is 0, got -1", {.gamma = 0.5}, student,
         teacher, gradient, {.row_weights = negative});
  std::vector<double> values(3, 7.0), slopes(3, 7.0);
  refuse("correlation: couples the rows, so reduction::none needs gamma = 0; use reduction::sum", {}, student,
         teacher, gradient, {.reduction = reduction::none, .row_values = values});
  refuse("correlation: temperature_slopes has 2 entries, student has 3 rows", {}, student, teacher, gradient,
         {.temperature_slopes = {slopes.data(), 2}});
  const std::vector<float> spoiled = {1, 2, 0};
  refuse("correlation: temperature[2] must be finite and > 0, got 0", {.temperature = spoiled}, student,
         teacher, gradient, {.row_values = values, .temperature_slopes = slopes});
  refuse("correlation: teacher_temperature has 2 entries, student has 3 rows", {.teacher_temperature = two},
         student, teacher, gradient);
  CHECK(values == std::vector<double>(3, 7.0));
  CHECK(slopes == std::vector<double>(3, 7.0));
  refuse("correlation: gradient overlaps student without being exactly the same elements", {},
         matrix_view<const float>(g.data() + 1, 3, 4), teacher, gradient);
}

}  // namespace correlation_tests
