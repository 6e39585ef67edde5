#include "support/special_values.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/loss_term.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <vector>

#include "support/accuracy.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {

constexpr std::size_t kRows = 21, kBad = 8;  // the row that holds something special
constexpr std::size_t kClassCounts[] = {3, 10, 70};

// The losses that are 0 for equal arguments and never negative.
std::vector<loss_case> divergences() {
  std::vector<loss_case> cases = {case_of(forward_kl{}),
                                  case_of(reverse_kl{}),
                                  case_of(jensen_shannon{}),
                                  case_of(jensen_shannon{.beta = 0.1}),
                                  case_of(skewed_forward_kl{}),
                                  case_of(skewed_reverse_kl{}),
                                  case_of(total_variation{}),
                                  case_of(alpha_beta{}),
                                  case_of(forward_kl{.temperature = 7}),
                                  case_of(reverse_kl{.temperature = 0.3})};
  for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {0.0, 1.0}, {0.5, -0.5}, {0.0, 0.0}, {0.3, 0.9}})
    cases.push_back(case_of(alpha_beta{.alpha = alpha, .beta = beta}));
  return cases;
}

// With those that transform the rows first; corrected_kl is another's divergence.
std::vector<loss_case> divergences(std::size_t classes) {
  std::vector<loss_case> cases = divergences();
  for (const loss_case& one : transforming_cases(kRows, classes))
    if (!one.is(loss_kind::corrected_kl)) cases.push_back(one);
  return cases;
}

struct outcome {
  double value;
  std::vector<double> values;
  oracle::matrix gradient;
  bool row_is(std::size_t row, bool (*what)(double)) const {
    for (std::size_t c = 0; c < gradient.classes; ++c)
      if (!what(static_cast<double>(gradient.at(row, c)))) return false;
    return true;
  }
};

template <class T>
outcome run(const loss_case& loss, const logit_pair& logits, layout how = layout::compact,
            row_options rows = {}) {
  const guarded_matrix<T> student(logits.rows, logits.student, how),
      teacher(logits.rows, logits.teacher, how);
  guarded_matrix<T> gradient(logits.rows, logits.classes, how);
  gradient.fill(77);
  outcome result{0, std::vector<double>(logits.rows), {}};
  rows.row_values = result.values;
  result.value = loss(student.view(), teacher.view(), gradient.view(), rows);
  result.gradient = gradient.exact();
  return result;
}

bool is_nan(double x) { return std::isnan(x); }
bool is_zero(double x) { return x == 0; }
bool is_finite(double x) { return std::isfinite(x); }

// Puts something into one row and checks that row by `check`, and that the others are as they were.
template <class Spoil, class Check>
void spoil_one_row(const loss_case& loss, std::size_t classes, Spoil spoil, Check check) {
  const logit_pair clean = independent_logits(kRows, classes, classes);
  logit_pair spoiled = clean;
  spoil(&spoiled.student[kBad * classes], &spoiled.teacher[kBad * classes]);
  for (const layout how : {layout::compact, layout::column_major})
    for (const bool in_double : {false, true}) {
      const outcome before = in_double ? run<double>(loss, clean, how) : run<float>(loss, clean, how);
      const outcome after = in_double ? run<double>(loss, spoiled, how) : run<float>(loss, spoiled, how);
      INFO(loss.name << ", " << classes << " classes, " << name_of(how)
                     << (in_double ? ", double" : ", float"));
      check(after);
      for (std::size_t row = 0; row < kRows; ++row) {
        if (row == kBad) continue;
        CHECK(after.values[row] == Approx(before.values[row]).epsilon(1e-6));
        for (std::size_t c = 0; c < classes; ++c)
          REQUIRE(static_cast<double>(after.gradient.at(row, c)) ==
                  Approx(static_cast<double>(before.gradient.at(row, c))).epsilon(1e-5).margin(1e-7));
      }
    }
}

}  // namespace

TEST_CASE("equal logits give exactly 0 and a gradient of exactly 0") {
  for (const std::size_t classes : {1u, 2u, 3u, 10u, 32u, 33u, 70u, 1000u})
    for (const loss_case& loss : divergences(classes)) {
      logit_pair logits = independent_logits(kRows, classes, classes);
      logits.student = logits.teacher;
      const auto check = [&](const outcome& result) {
        INFO(loss.name << ", " << classes << " classes");
        CHECK(result.value == 0);
        CHECK(!std::signbit(result.value));
        for (std::size_t row = 0; row < kRows; ++row) REQUIRE(result.row_is(row, is_zero));
      };
      check(run<float>(loss, logits));
      check(run<double>(loss, logits));
      check(run<bfloat16>(loss, logits));
      check(run<float16>(loss, logits, layout::padded_rows));
      check(run<float>(loss, logits, layout::column_major));
    }
}

TEST_CASE("a divergence is never negative, and 0 only where the logits say so") {
  for (const double deviation : {1e-1, 1e-3, 1e-5, 1e-6})
    for (const std::size_t classes : {2u, 10u, 70u, 1000u})
      for (const loss_case& loss : divergences(classes)) {
        const logit_pair logits = near_equal_logits(kRows, classes, classes, deviation);
        INFO(loss.name << ", " << classes << " classes, deviation " << deviation);
        for (const double value : run<float>(loss, logits).values) CHECK(value >= 0);
        for (const double value : run<double>(loss, logits).values) CHECK(value >= 0);
      }
}

TEST_CASE("one class has probability 1 on both sides: 0") {
  const logit_pair logits = independent_logits(kRows, 1, 5);
  for (const loss_case& loss : all_cases(kRows, 1)) {
    if (loss.is(loss_kind::logit_mse) || loss.terms.size() > 2) continue;
    const auto check = [&](const outcome& result) {
      INFO(loss.name);
      CHECK(result.value == 0);
      bool zero = true;
      for (std::size_t row = 0; row < kRows; ++row) zero = zero && result.row_is(row, is_zero);
      CHECK(zero);
    };
    check(run<float>(loss, logits));
    check(run<double>(loss, logits));
  }
}

TEST_CASE("a class masked in both is as if it did not exist") {
  for (const std::size_t classes : kClassCounts)
    for (const loss_case& loss : default_cases(kRows, classes)) {
      if (loss.is(loss_kind::logit_mse) || loss.is(loss_kind::user_divergence)) continue;
      logit_pair logits = independent_logits(kRows, classes, classes), fewer{kRows, classes - 1, {}, {}};
      // The last class: cross_entropy's labels must not name it.
      std::vector<std::int64_t> labels(kRows);
      for (std::size_t row = 0; row < kRows; ++row) {
        labels[row] = static_cast<std::int64_t>(row % (classes - 1));
        for (std::size_t c = 0; c + 1 < classes; ++c) {
          fewer.student.push_back(logits.student[row * classes + c]);
          fewer.teacher.push_back(logits.teacher[row * classes + c]);
        }
        logits.student[row * classes + classes - 1] = logits.teacher[row * classes + classes - 1] =
            -kInfinity;
      }
      loss_case relabelled = loss;
      for (loss_term& term : relabelled.terms) term.labels = labels;
      const auto check = [&](const outcome& masked, const outcome& expected, double allowed) {
        INFO(loss.name << ", " << classes << " classes");
        CHECK(masked.value == Approx(expected.value).epsilon(allowed));
        for (std::size_t row = 0; row < kRows; ++row) {
          CHECK(masked.gradient.at(row, classes - 1) == 0);
          for (std::size_t c = 0; c + 1 < classes; ++c)
            REQUIRE(static_cast<double>(masked.gradient.at(row, c)) ==
                    Approx(static_cast<double>(expected.gradient.at(row, c))).epsilon(1e-4).margin(allowed));
        }
      };
      check(run<float>(relabelled, logits), run<float>(relabelled, fewer), 1e-6);
      check(run<double>(relabelled, logits), run<double>(relabelled, fewer), 1e-13);
      check(run<float>(relabelled, logits, layout::column_major), run<float>(relabelled, fewer), 1e-6);
    }
}

TEST_CASE("a class masked in the teacher only") {
  for (const std::size_t classes : kClassCounts) {
    const auto mask = [](double*, double* teacher) { teacher[1] = -kInfinity; };
    const auto expect_value = [&](const loss_case& loss, bool finite) {
      spoil_one_row(loss, classes, mask, [&](const outcome& result) {
        if (finite)
          CHECK(std::isfinite(result.values[kBad]));
        else
          CHECK(result.values[kBad] == kInfinity);
        if (finite) CHECK(result.row_is(kBad, is_finite));
      });
    };
    expect_value(case_of(forward_kl{}), true);
    expect_value(case_of(soft_cross_entropy{}), true);
    expect_value(case_of(jensen_shannon{}), true);
    expect_value(case_of(skewed_forward_kl{}), true);
    expect_value(case_of(skewed_reverse_kl{}), true);
    expect_value(case_of(total_variation{}), true);
    expect_value(case_of(alpha_beta{}), true);
    expect_value(case_of(reverse_kl{}), false);
    expect_value(case_of(skewed_reverse_kl{.alpha = 0}), false);
    expect_value(case_of(alpha_beta{.alpha = 0, .beta = 1}), false);
  }
}

TEST_CASE("a class masked in the student only") {
  for (const std::size_t classes : kClassCounts) {
    const auto mask = [](double* student, double*) { student[1] = -kInfinity; };
    const auto expect_value = [&](const loss_case& loss, bool finite) {
      spoil_one_row(loss, classes, mask, [&](const outcome& result) {
        if (finite)
          CHECK(std::isfinite(result.values[kBad]));
        else
          CHECK(result.values[kBad] == kInfinity);
      });
    };
    expect_value(case_of(forward_kl{}), false);
    expect_value(case_of(soft_cross_entropy{}), false);
    expect_value(case_of(skewed_forward_kl{.alpha = 0}), false);
    expect_value(case_of(alpha_beta{.alpha = 1, .beta = 0}), false);
    expect_value(case_of(reverse_kl{}), true);
    expect_value(case_of(jensen_shannon{}), true);
    expect_value(case_of(skewed_forward_kl{}), true);
    expect_value(case_of(skewed_reverse_kl{}), true);
    expect_value(case_of(total_variation{}), true);
    expect_value(case_of(alpha_beta{}), true);
  }
}

TEST_CASE("half-masked rows against the oracle") {
  for (const std::size_t classes : kClassCounts)
    for (const loss_case& loss :
         {case_of(jensen_shannon{}), case_of(jensen_shannon{.beta = 0.2}), case_of(skewed_forward_kl{}),
          case_of(skewed_reverse_kl{}), case_of(total_variation{}), case_of(alpha_beta{})}) {
      logit_pair logits = independent_logits(kRows, classes, classes);
      for (std::size_t row = 0; row < kRows; ++row) {
        logits.student[row * classes + row % classes] = -kInfinity;
        logits.teacher[row * classes + (row / 2) % classes] = -kInfinity;
      }
      const guarded_matrix<float> student(kRows, logits.student), teacher(kRows, logits.teacher);
      guarded_matrix<float> gradient(kRows, classes);
      const deviation off = deviation_of(loss, student, teacher, gradient);
      INFO(loss.name << ", " << classes << " classes");
      CHECK(off.value <= 1e-6);
      CHECK(off.gradient <= 1e-5);
    }
}

TEST_CASE("a row of -inf, +inf or NaN in a counted row gives NaN: value and that row's gradient") {
  for (const std::size_t classes : kClassCounts)
    for (const loss_case& loss : default_cases(kRows, classes)) {
      if (loss.is(loss_kind::logit_mse)) continue;
      const bool reads_teacher = !loss.is(loss_kind::cross_entropy);
      const auto all_nan = [](const outcome& result) {
        CHECK(std::isnan(result.value));
        CHECK(std::isnan(result.values[kBad]));
        CHECK(result.row_is(kBad, is_nan));
      };
      const auto fill = [&](double* row) { std::fill(row, row + classes, -kInfinity); };
      for (const double bad : {kNan, kInfinity}) {
        for (const std::size_t where : {std::size_t{0}, classes / 2, classes - 1}) {
          INFO("student[" << where << "] = " << bad);
          spoil_one_row(
              loss, classes, [&](double* student, double*) { student[where] = bad; }, all_nan);
          if (reads_teacher)
            spoil_one_row(
                loss, classes, [&](double*, double* teacher) { teacher[where] = bad; }, all_nan);
        }
      }
      spoil_one_row(
          loss, classes, [&](double* student, double*) { fill(student); }, all_nan);
      if (reads_teacher)
        spoil_one_row(
            loss, classes, [&](double*, double* teacher) { fill(teacher); }, all_nan);
    }
}

TEST_CASE("logits of 1e38 do not overflow, and enormous differences are certain") {
  for (const std::size_t classes : kClassCounts)
    for (const loss_case& loss : default_cases(kRows, classes)) {
      if (loss.is(loss_kind::logit_mse) || loss.is(loss_kind::user_divergence)) continue;
      logit_pair logits = independent_logits(kRows, classes, classes);
      for (std::size_t i = 0; i < logits.student.size(); ++i) logits.student[i] = logits.teacher[i] = 1e38;
      const outcome equal = run<float>(loss, logits);
      INFO(loss.name << ", " << classes << " classes");
      CHECK(std::isfinite(equal.value));
      bool finite = true;
      for (std::size_t row = 0; row < kRows; ++row) finite = finite && equal.row_is(row, is_finite);
      CHECK(finite);
      for (std::size_t row = 0; row < kRows; ++row) logits.student[row * classes] = -1e38;
      const outcome apart = run<float>(loss, logits);
      CHECK(!std::isnan(apart.value));
      CHECK(apart.value >= 0);
    }
}

TEST_CASE("a million rows of three classes") {
  constexpr std::size_t rows = 1'000'000, classes = 3;
  std::vector<float> student(rows * classes), teacher(rows * classes), gradient(rows * classes);
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t c = 0; c < classes; ++c) {
      student[row * classes + c] = static_cast<float>((row * 7 + c * 3) % 11) * 0.5f;
      teacher[row * classes + c] = static_cast<float>((row * 5 + c) % 11) * 0.5f;
    }
  oracle::matrix z(11, classes), t(11, classes);
  for (std::size_t i = 0; i < 33; ++i) z.values[i] = student[i], t.values[i] = teacher[i];
  const matrix_view zv(student.data(), rows, classes), tv(teacher.data(), rows, classes);
  const auto expected =
      oracle::evaluate(formula_of(forward_kl{}.term()), z, t, {.divided_by = oracle::divisor::one});
  long double sum = 0;
  for (std::size_t row = 0; row < rows; ++row) sum += expected.row_values[row % 11];
  CHECK(forward_kl{}(zv, tv, matrix_view(gradient.data(), rows, classes)) ==
        Approx(static_cast<double>(sum / rows)).epsilon(5e-7));
  CHECK(gradient[3 * 999'999] ==
        Approx(static_cast<double>(expected.gradient.at(999'999 % 11, 0) / rows)).epsilon(1e-5));
}
