// The distance of sorted probabilities, against its definition in long double.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/universal_logit.hpp>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace universal_logit_tests {

using namespace distill;
using namespace support;

namespace {

using real = long double;
constexpr double inf = std::numeric_limits<double>::infinity();

// Classes by descending logit, the lower first among equals.
std::vector<std::size_t> ranking(const real* logits, std::size_t n) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  return order;
}

oracle::answer expected(const universal_logit& loss, const oracle::matrix& student,
                        const oracle::matrix& teacher, const std::vector<float>& weights = {}) {
  const real student_temperature = loss.temperature.number();
  const real teacher_temperature = loss.teacher_temperature.value_or(loss.temperature).number();
  const real scale = loss.temperature_squared ? student_temperature * teacher_temperature : 1;
  oracle::answer answer;
  answer.gradient = oracle::matrix(student.rows, student.classes);
  answer.row_values.resize(student.rows);
  const auto weight = [&](std::size_t row) { return weights.empty() ? real{1} : weights[row]; };
  real counted = 0;
  for (std::size_t row = 0; row < student.rows; ++row) counted += weight(row) != 0 ? 1 : 0;
  for (std::size_t row = 0; row < student.rows; ++row) {
    if (weight(row) == 0) continue;
    const std::size_t n = student.classes, m = teacher.classes;
    const auto q = oracle::softmax(&student.at(row, 0), n, student_temperature),
               p = oracle::softmax(&teacher.at(row, 0), m, teacher_temperature);
    const auto by_q = ranking(&student.at(row, 0), n), by_p = ranking(&teacher.at(row, 0), m);
    std::vector<real> u(n);
    real value = 0, mean = 0;
    for (std::size_t j = 0; j < std::max(n, m); ++j) {
      const real difference = (j < n ? q[by_q[j]] : 0) - (j < m ? p[by_p[j]] : 0);
      value += std::abs(difference);
      if (j < n) u[by_q[j]] = difference > 0 ? 1 : difference < 0 ? -1 : 0;
    }
    for (std::size_t c = 0; c < n; ++c) mean += q[c] * u[c];
    for (std::size_t c = 0; c < n; ++c)
      answer.gradient.at(row, c) = weight(row) / counted * scale / student_temperature * q[c] * (u[c] - mean);
    answer.row_values[row] = weight(row) * scale * value;
    answer.value += answer.row_values[row] / counted;
  }
  return answer;
}

struct batch {
  std::size_t rows, classes, teacher_classes;
  std::vector<double> student, teacher;

  batch(std::size_t r, std::size_t n, std::size_t m, std::uint64_t seed)
      : rows(r),
        classes(n),
        teacher_classes(m),
        student(independent_logits(r, n, seed).student),
        teacher(independent_logits(r, m, seed + 1).teacher) {}
};

template <class S, class T, class G>
void check(const universal_logit& loss, const batch& b, layout how, double value_error,
           double gradient_error) {
  const guarded_matrix<S> student(b.rows, b.student, how, 1);
  const guarded_matrix<T> teacher(b.rows, b.teacher, how);
  guarded_matrix<G> gradient(b.rows, b.classes, how, 1);
  const double value = loss(student.view(), teacher.view(), gradient.view());
  const oracle::answer answer = expected(loss, student.exact(), teacher.exact());
  INFO(b.rows << " x " << b.classes << " and " << b.teacher_classes << ", " << name_of(how));
  if (b.classes == 1 && b.teacher_classes == 1)
    CHECK(value == 0);
  else
    CHECK(relative(value, answer.value) < value_error);
  CHECK(relative(gradient.exact(), answer.gradient) < gradient_error + rounding_of(element_traits<G>::type));
  CHECK(gradient.is_intact());
  CHECK(loss(student.view(), teacher.view()) == value);
}

const universal_logit plain{}, hot{.temperature = 3, .teacher_temperature = 2};

}  // namespace

TEST_CASE("universal_logit on every target, with more, fewer and as many classes as the teacher") {
  on_every_target([&] {
    for (const std::size_t classes : {1u, 2u, 3u, 7u, 16u, 17u, 33u, 48u, 49u, 130u})
      for (const std::size_t other : {1u, 5u, 16u, 49u, 131u}) {
        check<float, float, float>(plain, batch(4, classes, other, classes), layout::padded_rows, 1e-6, 2e-5);
        check<double, double, double>(hot, batch(4, classes, other, classes), layout::compact, 1e-12, 1e-12);
      }
    check<float, float, float>(plain, batch(2, 1100, 1200, 3), layout::compact, 1e-6, 2e-5);
    check<double, double, double>(plain, batch(2, 1200, 1100, 3), layout::compact, 1e-12, 1e-12);
  });
}

TEST_CASE("universal_logit of two vocabularies") {
  check<float, float, float>(plain, batch(1, 32000, 50257, 9), layout::compact, 1e-6, 2e-5);
  check<bfloat16, bfloat16, float>(plain, batch(1, 32000, 50257, 9), layout::compact, 1e-6, 2e-5);
}

// Ranks at which the two differ by less than their rounding have one sign or the other.
TEST_CASE("universal_logit of nearly equal logits") {
  const logit_pair logits = near_equal_logits(16, 1000, 3);
  batch b(16, 1000, 1000, 1);
  b.student = logits.student;
  b.teacher = logits.teacher;
  check<float, float, float>(plain, b, layout::compact, 1e-5, 1e-4);
  check<double, double, double>(plain, b, layout::compact, 1e-12, 1e-12);
}

TEST_CASE("universal_logit of every layout and element type") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows}) {
    const batch b(6, 60, 55, 4);
    check<float, float, float>(hot, b, how, 1e-6, 2e-5);
    check<float, bfloat16, float>(hot, b, how, 1e-6, 2e-5);
    check<bfloat16, float16, bfloat16>(hot, b, how, 1e-6, 2e-5);
    check<float16, float, float>(hot, b, how, 1e-6, 2e-5);
    check<float, double, float>(hot, b, how, 1e-12, 1e-6);
    check<double, float, double>(hot, b, how, 1e-12, 1e-12);
  }
}

TEST_CASE("the gradient of universal_logit is the derivative of its value") {
  batch b(5, 13, 17, 21);
  const std::vector<float> upstream = {0.3f, -1.2f, 2, 0.7f, -0.4f};
  const matrix_view<double> student(b.student.data(), 5, 13), teacher(b.teacher.data(), 5, 17);
  std::vector<double> slopes(65);
  const row_options how{.row_weights = upstream};
  (void)hot(student, teacher, matrix_view<double>(slopes.data(), 5, 13), how);
  constexpr double step = 1e-5;
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    const double at = b.student[i];
    b.student[i] = at + step;
    const double above = hot(student, teacher, no_gradient, how);
    b.student[i] = at - step;
    CHECK(slopes[i] == Approx((above - hot(student, teacher, no_gradient, how)) / (2 * step)).margin(1e-9));
    b.student[i] = at;
  }
}

TEST_CASE("equal and reordered rows give exactly 0") {
  on_every_target([&] {
    for (const std::size_t classes : {7u, 100u, 2000u}) {
      batch b(3, classes, classes, classes);
      for (std::size_t row = 0; row < 3; ++row)
        for (std::size_t c = 0; c < classes; ++c)
          b.teacher[row * classes + (row == 0 ? c : classes - 1 - c)] = b.student[row * classes + c];
      const guarded_matrix<float> student(3, b.student), teacher(3, b.teacher);
      guarded_matrix<float> gradient(3, classes);
      CHECK(plain(student.view(), teacher.view(), gradient.view()) == 0);
      for (std::size_t i = 0; i < 3 * classes; ++i) REQUIRE(gradient.at(i / classes, i % classes) == 0);
    }
  });
}

TEST_CASE("ties: the lower class has the lower rank, equal probabilities have sign 0") {
  // q = 1/4 four times, p = 1/2, 1/4, 1/8, 1/8 in some order: signs -, 0, +, + in the order of classes.
  const double student[] = {1, 1, 1, 1},
               teacher[] = {std::log(1.0), std::log(4.0), std::log(2.0), std::log(1.0)};
  double gradient[4];
  const double value = plain(matrix_view<const double>(student, 1, 4),
                             matrix_view<const double>(teacher, 1, 4), matrix_view<double>(gradient, 1, 4));
  CHECK(value == Approx(0.5).epsilon(1e-14));
  const double mean = 0.25;
  CHECK(gradient[0] == Approx(0.25 * (-1 - mean)));
  CHECK(gradient[2] == Approx(0.25 * (1 - mean)));
  CHECK(gradient[3] == gradient[2]);
  const float flat[] = {2, 2, 2};  // 0 and -0 are equal too
  const float zeros[] = {-0.0f, 0.0f, -0.0f};
  float slopes[3] = {7, 7, 7};
  CHECK(plain(matrix_view<const float>(zeros, 1, 3), matrix_view<const float>(flat, 1, 3),
              matrix_view<float>(slopes, 1, 3)) == 0);
  for (const float slope : slopes) CHECK(slope == 0);
}

TEST_CASE("-0 does not come behind 0") {
  const float student[] = {-0.0f, 0.0f, 1}, teacher[] = {3, 2.5f, -9}, positive[] = {0, 0, 1};
  float a[3], b[3];
  (void)plain(matrix_view<const float>(student, 1, 3), matrix_view<const float>(teacher, 1, 3),
              matrix_view<float>(a, 1, 3));
  (void)plain(matrix_view<const float>(positive, 1, 3), matrix_view<const float>(teacher, 1, 3),
              matrix_view<float>(b, 1, 3));
  for (std::size_t c = 0; c < 3; ++c) CHECK(a[c] == b[c]);
  CHECK(a[0] != a[1]);
}

TEST_CASE("every option of universal_logit matters") {
  const batch b(3, 9, 12, 5);
  const guarded_matrix<double> student(3, b.student), teacher(3, b.teacher);
  const auto value = [&](const universal_logit& loss) { return loss(student.view(), teacher.view()); };
  CHECK(value({.temperature = 2}) != Approx(value({})));
  CHECK(value({.teacher_temperature = 2}) != Approx(value({})));
  CHECK(value({.temperature = 2, .teacher_temperature = 3}) ==
        Approx(6 * value({.temperature = 2, .teacher_temperature = 3, .temperature_squared = false}))
            .epsilon(1e-13));
  check<double, double, double>({.temperature = 2, .temperature_squared = false}, b, layout::compact, 1e-12,
                                1e-12);
}

TEST_CASE("universal_logit of -inf, NaN and +inf") {
  batch b(2, 6, 5, 3);
  b.student[2] = b.teacher[1] = b.teacher[3] = -inf;
  check<float, float, float>(plain, b, layout::compact, 1e-6, 2e-5);
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::quiet_NaN(), inf, -inf})
    for (const bool in_student : {true, false}) {
      batch spoiled(2, 60, 50, 3);
      std::vector<double>& side = in_student ? spoiled.student : spoiled.teacher;
      const std::size_t classes = in_student ? 60 : 50;
      for (std::size_t c = bad == -inf ? 0 : 7; c < (bad == -inf ? classes : 8); ++c) side[c] = bad;
      const guarded_matrix<float> student(2, spoiled.student), teacher(2, spoiled.teacher);
      guarded_matrix<float> gradient(2, 60);
      std::vector<double> values(2);
      CHECK(std::isnan(plain(student.view(), teacher.view(), gradient.view(), {.row_values = values})));
      CHECK(std::isnan(values[0]));
      CHECK(std::isfinite(values[1]));
      for (std::size_t c = 0; c < 60; ++c) {
        CHECK(std::isnan(gradient.at(0, c)));
        CHECK(std::isfinite(gradient.at(1, c)));
      }
    }
}

TEST_CASE("row options of universal_logit") {
  batch b(4, 10, 8, 6);
  for (std::size_t c = 0; c < 8; ++c) b.teacher[8 + c] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> weights = {1, 0, 2, -0.5f};
  const guarded_matrix<float> student(4, b.student), teacher(4, b.teacher);
  guarded_matrix<float> gradient(4, 10), added(4, 10);
  std::vector<double> values(4, 77);
  const oracle::answer answer = expected(plain, student.exact(), teacher.exact(), weights);
  const auto call = [&](row_options how) {
    how.row_weights = weights;
    return plain(student.view(), teacher.view(), gradient.view(), how);
  };
  const double mean = call({.row_values = values});
  CHECK(relative(mean, answer.value) < 1e-6);
  CHECK(relative(gradient.exact(), answer.gradient) < 2e-5);
  for (std::size_t row = 0; row < 4; ++row)
    CHECK(values[row] == Approx(static_cast<double>(answer.row_values[row])));
  for (std::size_t c = 0; c < 10; ++c) CHECK(gradient.at(1, c) == 0);
  CHECK(call({.reduction = reduction::sum}) == Approx(3 * mean));
  CHECK(call({.reduction = reduction::none, .row_values = values}) == Approx(3 * mean));
  CHECK(call({.reduction = reduction::mean}) == Approx(mean / 10));
  CHECK(call({.denominator = 6}) == Approx(mean / 2));
  CHECK(gradient.at(2, 3) == Approx(static_cast<double>(answer.gradient.at(2, 3)) / 2).epsilon(1e-4));
  added.fill(1);
  (void)plain(student.view(), teacher.view(), added.view(), {.row_weights = weights, .accumulate = true});
  for (std::size_t i = 0; i < 40; ++i)
    CHECK(added.at(i / 10, i % 10) ==
          Approx(1 + static_cast<double>(answer.gradient.at(i / 10, i % 10))).margin(1e-6));
  const std::vector<float> none(4, 0.0f);
  CHECK(plain(student.view(), teacher.view(), gradient.view(), {.row_weights = none}) == 0);
  for (std::size_t c = 0; c < 10; ++c) CHECK(gradient.at(2, c) == 0);
}

TEST_CASE("any executor gives the same bits of universal_logit; the workspace stays") {
  for (const auto& [rows, classes] : {std::pair<std::size_t, std::size_t>{150, 20}, {9, 5000}}) {
    const batch b(rows, classes, classes + 3, 4);
    const guarded_matrix<float> student(rows, b.student), teacher(rows, b.teacher);
    guarded_matrix<float> serial(rows, classes);
    const double value = plain(student.view(), teacher.view(), serial.view());
    workspace kept;
    for (const std::size_t workers : {1u, 4u})
      for (const std::size_t block : {1u, 5u}) {
        block_executor executor(workers, block);
        guarded_matrix<float> gradient(rows, classes);
        const row_options how{.executor = executor, .workspace = &kept};
        CHECK(plain(student.view(), teacher.view(), gradient.view(), how) == value);
        CHECK(gradient.bits() == serial.bits());
        CHECK(executor.calls() == 1);
      }
    const std::size_t size = kept.size();
    (void)plain(student.view(), teacher.view(), serial.view(), {.workspace = &kept});
    CHECK(kept.size() == size);
  }
}

TEST_CASE("what universal_logit refuses, and that nothing is written then") {
  std::vector<float> s(12, 1), t(20, 2), g(24, 7);
  const matrix_view<const float> student(s.data(), 3, 4), teacher(t.data(), 3, 5);
  const matrix_view<float> gradient(g.data(), 3, 4);
  const auto refuse = [&](const std::string& message, const universal_logit& loss,
                          const matrix_view<const float>& z, const matrix_view<const float>& v,
                          const matrix_view<float>& out, const row_options& rows = {}) {
    CHECK_THROWS_WITH(loss(z, v, out, rows), message);
    CHECK(g == std::vector<float>(24, 7));
  };
  refuse("universal_logit: temperature must be finite and > 0, got 0", {.temperature = 0}, student, teacher,
         gradient);
  refuse("universal_logit: teacher_temperature must be finite and > 0, got inf", {.teacher_temperature = inf},
         student, teacher, gradient);
  refuse("universal_logit: student has 0 rows", {}, matrix_view<const float>(s.data(), 0, 4), teacher,
         gradient);
  refuse("universal_logit: teacher has 4 rows, student has 3", {}, student,
         matrix_view<const float>(t.data(), 4, 5), gradient);
  refuse("universal_logit: teacher has 0 classes", {}, student, matrix_view<const float>(t.data(), 3, 0),
         gradient);
  refuse("universal_logit: student has 4294967296 classes, must be less than 2^32", {},
         matrix_view<const float>(s.data(), 3, std::size_t{1} << 32, 0, 0), teacher, gradient);
  refuse("universal_logit: teacher has no memory", {}, student, matrix_view<const float>(nullptr, 3, 5),
         gradient);
  refuse("universal_logit: gradient has 5 classes, student has 4", {}, student, teacher,
         matrix_view<float>(g.data(), 3, 5));
  refuse("universal_logit: gradient overlaps teacher without being exactly the same elements", {}, student,
         matrix_view<const float>(g.data() + 1, 3, 5), gradient);
  const std::vector<float> two(2, 1.0f);
  refuse("universal_logit: row_weights has 2 entries, student has 3 rows", {}, student, teacher, gradient,
         {.row_weights = two});
  refuse("universal_logit: reduction::none needs row_values", {}, student, teacher, gradient,
         {.reduction = reduction::none});
}

}  // namespace universal_logit_tests
