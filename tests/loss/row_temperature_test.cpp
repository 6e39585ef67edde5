// A temperature for each row: what a row gives is what it gives alone, at its number.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <limits>
#include <span>
#include <vector>

#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/loss_cases.hpp"
#include "support/random_logits.hpp"
#include "support/row_temperatures.hpp"

using namespace distill;
using namespace support;

namespace {

template <class T>
struct row_batch {
  guarded_matrix<T> student, teacher, gradient;
  row_batch(const logit_pair& logits, layout how)
      : student(logits.rows, logits.student, how),
        teacher(logits.rows, logits.teacher, how),
        gradient(logits.rows, logits.classes, how) {}
};

// Every row of one call with all temperatures against a call with the row's number where the others are
// masked.
template <class T>
void check_row_by_row(const loss_case& loss, const row_temperatures& temperatures, const logit_pair& logits,
                      layout how) {
  const std::size_t rows = logits.rows;
  row_batch<T> all(logits, how), one(logits, how);
  std::vector<double> values(rows), alone(rows);
  (void)temperatures.given_to(loss)(all.student.view(), all.teacher.view(), all.gradient.view(),
                                    {.reduction = reduction::sum, .row_values = values});
  INFO(loss.name << ", " << rows << " x " << logits.classes << ", " << name_of(how) << ", "
                 << name_of(element_traits<T>::type));
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<float> weights(rows, 0.0f);
    weights[row] = 1;
    (void)temperatures.of_row(loss, row)(
        one.student.view(), one.teacher.view(), one.gradient.view(),
        {.reduction = reduction::sum, .row_weights = weights, .row_values = alone});
    CAPTURE(row);
    CHECK(values[row] == alone[row]);
    for (std::size_t c = 0; c < logits.classes; ++c)
      REQUIRE(all.gradient.at(row, c) == one.gradient.at(row, c));
  }
  CHECK(all.gradient.is_intact());
}

template <class T>
void check_row_layouts(const loss_case& loss, const row_temperatures& temperatures,
                       const logit_pair& logits) {
  for (const layout how : {layout::compact, layout::column_major, layout::every_third})
    check_row_by_row<T>(loss, temperatures, logits, how);
}

}  // namespace

// 1, 3 and 10 classes go a row to a lane; 40 and 300 are short rows, 600 are long ones.
TEST_CASE("a row at its temperature is that row at one temperature, bit by bit") {
  constexpr std::size_t rows = 19;
  const row_temperatures temperatures(rows);
  for (const std::size_t classes : {1u, 3u, 10u, 40u, 300u, 600u}) {
    const logit_pair logits = independent_logits(rows, classes, classes);
    for (const loss_case& loss : default_cases(rows, classes)) {
      check_row_layouts<float>(loss, temperatures, logits);
      if (classes > 40) continue;
      check_row_layouts<double>(loss, temperatures, logits);
      check_row_layouts<bfloat16>(loss, temperatures, logits);
    }
  }
}

TEST_CASE("separate temperatures, limits and other parameters, row by row") {
  constexpr std::size_t rows = 19;
  const row_temperatures temperatures(rows);
  for (const std::size_t classes : {3u, 40u})
    for (const loss_case& loss : all_cases(rows, classes))
      check_row_layouts<float>(loss, temperatures, independent_logits(rows, classes, classes));
}

TEST_CASE("nearly equal rows at their temperatures, row by row") {
  constexpr std::size_t rows = 19;
  const row_temperatures temperatures(rows);
  for (const std::size_t classes : {4u, 70u, 600u})
    for (const loss_case& loss : default_cases(rows, classes))
      check_row_by_row<float>(loss, temperatures, near_equal_logits(rows, classes, classes), layout::compact);
}

TEST_CASE("every target with a temperature for each row") {
  const row_temperatures temperatures(33);
  on_every_target([&] {
    for (const std::size_t classes : {5u, 37u})
      for (const loss_case& loss : default_cases(33, classes)) {
        check_row_by_row<float>(loss, temperatures, independent_logits(33, classes, 1), layout::compact);
        check_row_by_row<double>(loss, temperatures, independent_logits(33, classes, 2), layout::compact);
      }
  });
}

// One temperature for teacher and student in some rows, two in others: each row to the accuracy of its loss,
// and the former exactly 0 where the logits are equal.
TEST_CASE("temperatures that are equal in some rows only") {
  constexpr std::size_t rows = 19;
  const row_temperatures temperatures(rows, true);
  for (const std::size_t classes : {1u, 3u, 40u, 600u})
    for (const layout how : {layout::compact, layout::column_major}) {
      logit_pair logits = independent_logits(rows, classes, classes);
      for (const std::size_t row : {3u, 6u})
        std::copy_n(&logits.student[row * classes], classes, &logits.teacher[row * classes]);
      for (const loss_case& loss :
           {case_of(forward_kl{.teacher_temperature = 2}), case_of(reverse_kl{.teacher_temperature = 2}),
            case_of(jensen_shannon{.teacher_temperature = 2}),
            case_of(total_variation{.teacher_temperature = 2})}) {
        row_batch<float> all(logits, how);
        std::vector<double> values(rows);
        (void)temperatures.given_to(loss)(all.student.view(), all.teacher.view(), all.gradient.view(),
                                          {.reduction = reduction::sum, .row_values = values});
        INFO(loss.name << ", " << classes << " classes, " << name_of(how));
        for (std::size_t row = 0; row < rows; ++row) {
          CAPTURE(row);
          std::vector<long double> only(rows, 0);
          only[row] = 1;
          const oracle::answer expected =
              oracle::evaluate(temperatures.of_row(loss, row).formulas, all.student.exact(),
                               all.teacher.exact(), {.divided_by = oracle::divisor::one, .weights = only});
          const bool is_equal = classes == 1 || row == 3 || row == 6;
          const auto near = [&](long double x, double relative, double absolute) {
            return is_equal ? Approx(0).epsilon(0).margin(0)
                            : Approx(static_cast<double>(x)).epsilon(relative).margin(absolute);
          };
          CHECK(values[row] == near(expected.value, 1e-5, 1e-7));
          for (std::size_t c = 0; c < classes; ++c)
            CHECK(all.gradient.at(row, c) == near(expected.gradient.at(row, c), 1e-4, 2e-6));
        }
      }
    }
}

TEST_CASE("with a temperature for each row any executor gives the same bits") {
  constexpr std::size_t rows = 53;
  for (const std::size_t classes : {3u, 40u, 600u})
    for (const bool mixed : {false, true}) {
      const row_temperatures temperatures(rows, mixed);
      const logit_pair logits = independent_logits(rows, classes, classes);
      for (const loss_case& plain : default_cases(rows, classes)) {
        const loss_case loss = temperatures.given_to(plain);
        row_batch<float> serial(logits, layout::compact);
        const double value = loss(serial.student.view(), serial.teacher.view(), serial.gradient.view());
        for (const std::size_t block : {1u, 3u, 16u}) {
          row_batch<float> cut(logits, layout::compact);
          block_executor executor(3, block);
          INFO(loss.name << ", " << classes << " classes, block " << block);
          CHECK(loss(cut.student.view(), cut.teacher.view(), cut.gradient.view(), {.executor = executor}) ==
                value);
          CHECK(cut.gradient.bits() == serial.gradient.bits());
        }
      }
    }
}

TEST_CASE("rows that do not count may have any temperature") {
  constexpr std::size_t rows = 19;
  for (const std::size_t classes : {3u, 40u, 600u}) {
    const logit_pair logits = independent_logits(rows, classes, classes);
    row_temperatures temperatures(rows);
    std::vector<float> weights(rows, 1.0f);
    for (const std::size_t row : {0u, 4u, 9u, 14u}) weights[row] = 0;  // 4, 9, 14: labels are ignored as well
    for (const loss_case& loss : default_cases(rows, classes)) {
      row_batch<float> good(logits, layout::compact), spoiled(logits, layout::compact);
      const double value = temperatures.given_to(loss)(good.student.view(), good.teacher.view(),
                                                       good.gradient.view(), {.row_weights = weights});
      row_temperatures garbage = temperatures;
      const float invalid[] = {0, -1, std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::infinity()};
      for (std::size_t i = 0; i < 4; ++i)
        garbage.student[i == 0 ? 0 : 5 * i - 1] = garbage.teacher[i == 0 ? 0 : 5 * i - 1] = invalid[i];
      INFO(loss.name << ", " << classes << " classes");
      CHECK(garbage.given_to(loss)(spoiled.student.view(), spoiled.teacher.view(), spoiled.gradient.view(),
                                   {.row_weights = weights}) == value);
      CHECK(spoiled.gradient.bits() == good.gradient.bits());
    }
  }
}

// A label that is ignored takes its row out of cross_entropy only.
TEST_CASE("a row of ignored label may have any hard temperature and a soft one") {
  for (const std::size_t classes : {4u, 40u}) {
    const logit_pair logits = independent_logits(5, classes, 3);
    const std::vector<int> labels(5, -100);
    const std::vector<float> soft = {1, 2, 3, 4, 5};
    const std::vector<float> hard(5, std::numeric_limits<float>::quiet_NaN());
    row_batch<float> both(logits, layout::compact), one(logits, layout::compact);
    const double value =
        (forward_kl{.temperature = soft} + cross_entropy{.labels = labels, .temperature = hard})(
            both.student.view(), both.teacher.view(), both.gradient.view());
    CHECK(value ==
          Approx(forward_kl{.temperature = soft}(one.student.view(), one.teacher.view(), one.gradient.view()))
              .epsilon(1e-6));
    for (std::size_t i = 0; i < 5 * classes; ++i)
      CHECK(both.gradient.at(i / classes, i % classes) ==
            Approx(one.gradient.at(i / classes, i % classes)).margin(1e-6));
  }
}
