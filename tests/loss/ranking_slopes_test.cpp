// The slopes of the ranking losses by their temperature, against differences of their values.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/ranking_hinge.hpp>
#include <distill/loss/ranking_logistic.hpp>
#include <limits>
#include <vector>

#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace ranking_slope_tests {
namespace {

constexpr std::size_t rows = 5;
const std::vector<float> weights = {1, -0.5f, 0, 2, 0.3f};
const std::vector<float> per_row = {1, 2, 3, 0.5f, 1.5f};

template <class T>
std::vector<double> slopes_of(const objective& loss, const logit_pair& logits, layout how,
                              row_options options = {}) {
  const guarded_matrix<T> student(logits.rows, logits.student, how),
      teacher(logits.rows, logits.teacher, how);
  std::vector<double> slopes(logits.rows, 77);
  options.temperature_slopes = slopes;
  (void)loss(student.view(), teacher.view(), no_gradient, options);
  return slopes;
}

// By a temperature, or by those of all rows at once.
template <class L>
std::vector<double> expected_slopes(L loss, const logit_pair& logits) {
  const guarded_matrix<double> student(logits.rows, logits.student), teacher(logits.rows, logits.teacher);
  std::vector<double> slopes(logits.rows);
  constexpr double step = 1e-5;
  for (std::size_t row = 0; row < logits.rows; ++row) {
    const double temperature = loss.temperature[row];
    const auto at = [&](double offset) {
      std::vector<double> values(logits.rows);
      L there = loss;
      there.temperature = temperature + offset;
      (void)there(student.view(), teacher.view(), no_gradient,
                  {.row_weights = weights, .row_values = values});
      return values[row];
    };
    slopes[row] = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  }
  return slopes;
}

template <class L>
void check(const L& loss) {
  for (const std::size_t classes : {2u, 7u, 40u}) {
    const logit_pair logits = independent_logits(rows, classes, classes, 1.5);
    const std::vector<double> expected = expected_slopes(loss, logits);
    const row_options sum{.reduction = reduction::sum, .row_weights = weights};
    double largest = 0;
    for (const double slope : expected) largest = std::max(largest, std::abs(slope));
    CHECK(largest > 0);
    for (const layout how : {layout::compact, layout::every_third, layout::column_major}) {
      const auto in_double = slopes_of<double>(loss, logits, how, sum);
      for (std::size_t row = 0; row < rows; ++row)
        CHECK(in_double[row] == Approx(expected[row]).epsilon(1e-8).margin(1e-8 * largest));
    }
    on_every_target([&] {
      const auto in_float = slopes_of<float>(loss, logits, layout::padded_rows, sum);
      for (std::size_t row = 0; row < rows; ++row)
        CHECK(in_float[row] == Approx(expected[row]).epsilon(0).margin(5e-6 * largest));
    });
  }
}

}  // namespace

TEST_CASE("temperature slopes of the ranking losses") {
  check(ranking_hinge{.temperature = 2, .margin = 0.7});
  check(ranking_hinge{.temperature = per_row, .classes = 4});
  check(ranking_logistic{.temperature = 2});
  check(ranking_logistic{.temperature = per_row, .classes = 5});
}

TEST_CASE("slopes of rankings in an objective, by any executor") {
  const logit_pair logits = independent_logits(30, 20, 3);
  const ranking_logistic rank{.temperature = 2};
  const forward_kl other{.temperature = 3};
  const auto a = slopes_of<float>(rank, logits, layout::compact),
             b = slopes_of<float>(other, logits, layout::compact),
             both = slopes_of<float>(0.5 * rank + 2 * other, logits, layout::compact);
  for (std::size_t row = 0; row < 30; ++row)
    CHECK(both[row] == Approx(0.5 * a[row] + 2 * b[row]).epsilon(1e-12));
  for (const std::size_t block : {1u, 4u}) {
    block_executor executor(3, block);
    CHECK(slopes_of<float>(rank, logits, layout::compact, {.executor = executor}) == a);
  }
}

TEST_CASE("slopes of rankings where there is no pair, a masked class or no number") {
  logit_pair logits = independent_logits(4, 6, 3);
  for (std::size_t c = 0; c < 6; ++c) logits.teacher[c] = 1;  // row 0: no pair
  constexpr double inf = std::numeric_limits<double>::infinity();
  logits.student[6] = std::numeric_limits<double>::quiet_NaN();  // row 1
  logits.teacher[12] = -9;                                       // row 2: the last class is masked by both
  logits.student[12] = -inf;
  logits.teacher[18] = 9;  // row 3: the first class is impossible for the student
  logits.student[18] = -inf;
  const ranking_hinge hinge{.temperature = 2};
  for (const objective& loss : {objective(hinge), objective(ranking_logistic{.temperature = 2})}) {
    const auto slopes = slopes_of<float>(loss, logits, layout::compact);
    CHECK(slopes[0] == 0);
    CHECK(std::isnan(slopes[1]));
    CHECK(std::isfinite(slopes[2]));
    CHECK(slopes[2] != 0);
    CHECK(std::isnan(slopes[3]));
  }
  const logit_pair one = independent_logits(3, 1, 3);
  CHECK(slopes_of<float>(hinge, one, layout::compact) == std::vector<double>(3, 0.0));
}

}  // namespace ranking_slope_tests
