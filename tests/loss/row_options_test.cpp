#include <catch2/catch.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <vector>

#include "support/accuracy.hpp"
#include "support/random_logits.hpp"
#include "support/special_values.hpp"
#include "support/tolerance.hpp"

using namespace distill;
using namespace support;

namespace {

constexpr std::size_t kOptionRows = 19;

std::vector<float> mixed_weights() {
  std::vector<float> weights(kOptionRows);
  for (std::size_t row = 0; row < kOptionRows; ++row)
    weights[row] = row % 4 == 1 ? 0.0f : row % 4 == 2 ? -0.5f : 0.25f + static_cast<float>(row);
  return weights;
}

oracle::rows as_oracle(const row_options& rows) {
  oracle::rows how;
  how.divided_by = rows.reduction == reduction::batch_mean ? oracle::divisor::counted_rows
                   : rows.reduction == reduction::mean     ? oracle::divisor::counted_elements
                                                           : oracle::divisor::one;
  for (std::size_t row = 0; row < rows.row_weights.size(); ++row)
    how.weights.push_back(rows.row_weights[row]);
  if (rows.denominator) how.denominator = *rows.denominator;
  return how;
}

template <class T>
void check_options(const loss_case& loss, std::size_t classes, row_options rows) {
  const logit_pair logits = independent_logits(kOptionRows, classes, classes);
  guarded_matrix<T> student(kOptionRows, logits.student), teacher(kOptionRows, logits.teacher),
      gradient(kOptionRows, classes);
  // Whatever a row of weight 0 holds is not read: the oracle skips it too.
  for (std::size_t row = 0; row < rows.row_weights.size(); ++row)
    for (std::size_t c = 0; rows.row_weights[row] == 0 && c < classes; ++c)
      student(row, c) = teacher(row, c) = from_double<T>(kNan);
  std::vector<double> values(kOptionRows, 77);
  rows.row_values = values;
  const double value = loss(student.view(), teacher.view(), gradient.view(), rows);
  const auto expected = oracle::evaluate(loss.formulas, student.exact(), teacher.exact(), as_oracle(rows));
  const double allowed = sizeof(T) == 8 ? 1e-10 : 1e-4;
  INFO(loss.name << ", " << classes << " classes, reduction " << static_cast<int>(rows.reduction));
  // Weights of both signs cancel: compare with the sum of magnitudes.
  double magnitude = 0;
  for (const long double row : expected.row_values) magnitude += std::abs(static_cast<double>(row));
  const double divisor = rows.denominator.value_or(1);
  CHECK(std::abs(value - static_cast<double>(expected.value)) <= allowed * magnitude / divisor);
  CHECK(relative(gradient.exact(), expected.gradient) <= allowed);
  for (std::size_t row = 0; row < kOptionRows; ++row)
    CHECK(values[row] ==
          Approx(static_cast<double>(expected.row_values[row])).epsilon(allowed).margin(allowed));
  CHECK(loss(student.view(), teacher.view(), {}, rows) == value);
}

constexpr reduction kReductions[] = {reduction::none, reduction::sum, reduction::batch_mean, reduction::mean};

}  // namespace

TEST_CASE("reductions, weights and denominators against the oracle") {
  const std::vector<float> weights = mixed_weights();
  for (const std::size_t classes : {5u, 75u})
    for (const loss_case& loss : default_cases(kOptionRows, classes))
      for (const reduction how : kReductions) {
        check_options<double>(loss, classes, {.reduction = how});
        check_options<float>(loss, classes, {.reduction = how, .row_weights = weights});
        check_options<double>(loss, classes, {.reduction = how, .row_weights = weights});
        if (how != reduction::none)
          check_options<double>(loss, classes,
                                {.reduction = how, .row_weights = weights, .denominator = 7.5});
      }
}

TEST_CASE("each reduction has the divisor its name says") {
  const logit_pair logits = independent_logits(6, 10, 1);
  const matrix_view z(logits.student.data(), 6, 10), t(logits.teacher.data(), 6, 10);
  const std::vector<float> mask = {1, 0, 1, 1, 0, 1};
  std::vector<double> values(6);
  const forward_kl loss;
  const double sum =
      loss(z, t, no_gradient, {.reduction = reduction::sum, .row_weights = mask, .row_values = values});
  CHECK(values[1] == 0);
  CHECK(values[0] + values[2] + values[3] + values[5] == Approx(sum).epsilon(1e-14));
  CHECK(loss(z, t, no_gradient, {.row_weights = mask}) == Approx(sum / 4).epsilon(1e-14));
  CHECK(loss(z, t, no_gradient, {.reduction = reduction::mean, .row_weights = mask}) ==
        Approx(sum / 40).epsilon(1e-14));
  CHECK(loss(z, t, no_gradient, {.reduction = reduction::none, .row_weights = mask, .row_values = values}) ==
        Approx(sum).epsilon(1e-14));
  CHECK(loss(z, t, no_gradient, {.row_weights = mask, .denominator = 10}) == Approx(sum / 10).epsilon(1e-14));
}

TEST_CASE("a weight scales a row without changing how many rows count") {
  const logit_pair logits = independent_logits(4, 10, 1);
  const matrix_view z(logits.student.data(), 4, 10), t(logits.teacher.data(), 4, 10);
  const std::vector<float> twice(4, 2.0f);
  CHECK(forward_kl{}(z, t, no_gradient, {.row_weights = twice}) ==
        Approx(2 * forward_kl{}(z, t)).epsilon(1e-14));
}

TEST_CASE("all rows masked: value 0 and a gradient of 0, written") {
  const std::vector<float> none(kOptionRows, 0.0f);
  for (const std::size_t classes : {5u, 75u})
    for (const loss_case& loss : default_cases(kOptionRows, classes))
      for (const reduction how : kReductions) {
        guarded_matrix<float> student(kOptionRows, classes), teacher(kOptionRows, classes),
            gradient(kOptionRows, classes);
        std::vector<double> values(kOptionRows, 77);
        INFO(loss.name << ", reduction " << static_cast<int>(how));
        CHECK(loss(student.view(), teacher.view(), gradient.view(),
                   {.reduction = how, .row_weights = none, .row_values = values}) == 0);
        for (std::size_t i = 0; i < kOptionRows * classes; ++i)
          REQUIRE(gradient.at(i / classes, i % classes) == 0);
        for (const double value : values) CHECK(value == 0);
      }
}

TEST_CASE("accumulate adds to the gradient, and leaves masked rows alone") {
  const std::vector<float> weights = mixed_weights();
  for (const std::size_t classes : {3u, 8u, 75u})
    for (const loss_case& loss : default_cases(kOptionRows, classes)) {
      const logit_pair logits = independent_logits(kOptionRows, classes, classes);
      const auto check = [&]<class T>(T, layout how) {
        const guarded_matrix<T> student(kOptionRows, logits.student, how),
            teacher(kOptionRows, logits.teacher, how);
        guarded_matrix<T> fresh(kOptionRows, classes, how), added(kOptionRows, classes, how);
        added.fill(0.5);
        const double value = loss(student.view(), teacher.view(), fresh.view(), {.row_weights = weights});
        const double again =
            loss(student.view(), teacher.view(), added.view(), {.row_weights = weights, .accumulate = true});
        CHECK(again == Approx(value).epsilon(1e-6));
        INFO(loss.name << ", " << classes << " classes, " << name_of(how) << ", "
                       << name_of(element_traits<T>::type));
        const double allowed = sizeof(T) == 8 ? 1e-14 : sizeof(T) == 4 ? 2e-6 : 0.1;
        for (std::size_t i = 0; i < kOptionRows * classes; ++i) {
          const std::size_t row = i / classes, c = i % classes;
          REQUIRE(added.at(row, c) - 0.5 == Approx(fresh.at(row, c)).epsilon(allowed).margin(allowed));
          if (weights[row] == 0) REQUIRE(added.at(row, c) == 0.5);
        }
        CHECK(added.is_intact());
      };
      for (const layout how : {layout::compact, layout::column_major, layout::every_third}) {
        check(float{}, how);
        check(double{}, how);
        check(bfloat16{}, how);
        check(float16{}, how);
      }
    }
}

TEST_CASE("strided weights and row values are followed") {
  const logit_pair logits = independent_logits(3, 10, 1);
  const matrix_view z(logits.student.data(), 3, 10), t(logits.teacher.data(), 3, 10);
  const float weights[] = {1, -9, 0, -9, 2};
  double values[] = {77, 77, 77, 77, 77};
  (void)forward_kl{}(z, t, no_gradient, {.row_weights = {weights, 3, 2}, .row_values = {values, 3, 2}});
  CHECK(values[0] > 0);
  CHECK(values[1] == 77);
  CHECK(values[2] == 0);
  CHECK(values[3] == 77);
  CHECK(values[4] == Approx(2 * forward_kl{}(matrix_view(z.data_handle() + 20, 1, 10),
                                             matrix_view(t.data_handle() + 20, 1, 10)))
                         .epsilon(1e-14));
}
