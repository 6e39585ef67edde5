// The slopes by the temperature against finite differences of the values, and what else is said of them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <limits>
#include <vector>

#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/loss_cases.hpp"
#include "support/random_logits.hpp"
#include "support/row_temperatures.hpp"
#include "support/temperature_differences.hpp"

using namespace distill;
using namespace support;

namespace {

std::vector<loss_case> knowing_their_slope(std::vector<loss_case> cases) {
  std::erase_if(cases, [](const loss_case& loss) {
    return std::any_of(loss.terms.begin(), loss.terms.end(), [](const distill::loss_term& term) {
      return term.moves_with_temperature() && !term.has_temperature_slope();
    });
  });
  return cases;
}

constexpr double kNoLogit = std::numeric_limits<double>::infinity();

std::vector<float> random_weights(std::size_t rows, std::uint64_t seed) {
  random_source random(seed);
  std::vector<float> weights(rows);
  for (float& weight : weights) weight = static_cast<float>(random.normal());
  weights[rows / 2] = 0;
  return weights;
}

void check_slope_differences(const loss_case& loss, std::size_t rows, std::size_t classes, layout how) {
  const slope_logits<double> of(independent_logits(rows, classes, 13 * classes + rows, 1.5), how);
  const std::vector<float> weights = random_weights(rows, classes);
  const row_options each{.reduction = reduction::sum, .row_weights = weights};
  const std::vector<double> slopes = of.slopes(loss, each);
  const std::vector<double> expected =
      differences([&](double offset) { return moved_values(of, loss, offset, each); });
  INFO(loss.name << ", " << rows << " x " << classes << ", " << name_of(how));
  const double size = std::max(1.0, largest_of(of.row_values(loss, each)));
  for (std::size_t row = 0; row < rows; ++row) {
    CAPTURE(row);
    CHECK(slopes[row] == Approx(expected[row]).epsilon(1e-9).margin(1e-9 * size));
  }
  CHECK(slopes[rows / 2] == 0);
  if (classes > 1 && !loss.is(loss_kind::cross_entropy) && !loss.is(loss_kind::logit_mse))
    CHECK(largest_of(slopes) > 0);
  if (loss.is(loss_kind::adaptive_kl)) return;  // the weight would move

  // One temperature for all rows: the sum. Weights, coefficients and denominators are in it.
  for (const row_options& options :
       {row_options{.row_weights = weights}, row_options{.reduction = reduction::mean},
        row_options{.row_weights = weights, .denominator = 2.5}}) {
    double sum = 0;
    for (const double slope : of.slopes(loss, options)) sum += slope;
    const double shared = differences([&](double offset) {
      return std::vector<double>{moved(loss, offset)(of.student.view(), of.teacher.view(), {}, options)};
    })[0];
    CHECK(sum == Approx(shared).epsilon(1e-9).margin(1e-9 * size * static_cast<double>(rows)));
  }
}

// Relative to the larger of the slope and what the T² factor's own part of it is, the slope of T² L by T.
template <class T>
void check_precision(const loss_case& loss, const logit_pair& logits, double allowed) {
  const slope_logits<T> single(logits, layout::padded_rows);
  logit_pair same = logits;
  for (std::size_t i = 0; i < same.student.size(); ++i) {
    same.student[i] = single.student.at(i / same.classes, i % same.classes);
    same.teacher[i] = single.teacher.at(i / same.classes, i % same.classes);
  }
  const slope_logits<double> exact(same, layout::compact);
  const row_options each{.reduction = reduction::sum};
  const auto expected = exact.slopes(loss, each), slopes = single.slopes(loss, each);
  const double size = std::max(largest_of(expected), 2 * largest_of(exact.row_values(loss, each)));
  for (std::size_t row = 0; row < logits.rows; ++row)
    CHECK(slopes[row] == Approx(expected[row]).epsilon(0).margin(allowed * size));
}

}  // namespace

TEST_CASE("temperature slopes are the derivatives of the values") {
  for (const auto& [rows, classes] : {std::pair<std::size_t, std::size_t>{3, 2}, {5, 7}, {4, 45}})
    for (const loss_case& loss : knowing_their_slope(all_cases(rows, classes)))
      for (const layout how : {layout::compact, layout::every_third, layout::column_major})
        check_slope_differences(loss, rows, classes, how);
}

TEST_CASE("temperature slopes of objectives at one pair of temperatures") {
  for (std::size_t which = 0; which < shared_objective_cases; ++which)
    check_slope_differences(shared_objective_case(which, 5, 45), 5, 45, layout::compact);
}

// Per row: slope of the row at its own number.
TEST_CASE("with a temperature for each row, a slope is that of the row at its temperature") {
  constexpr std::size_t rows = 9;
  for (const bool mixed : {false, true})
    for (const std::size_t classes : {3u, 40u}) {
      const row_temperatures temperatures(rows, mixed);
      const logit_pair logits = independent_logits(rows, classes, classes);
      const slope_logits<float> in_float(logits, layout::compact);
      const slope_logits<double> in_double(logits, layout::column_major);
      const row_options each{.reduction = reduction::sum};
      for (const loss_case& loss : knowing_their_slope(all_cases(rows, classes))) {
        const auto single = in_float.slopes(temperatures.given_to(loss), each);
        const auto twice = in_double.slopes(temperatures.given_to(loss), each);
        INFO(loss.name << ", " << classes << " classes");
        for (std::size_t row = 0; row < rows; ++row) {
          const loss_case alone = temperatures.of_row(loss, row);
          CHECK(single[row] == in_float.slopes(alone, each)[row]);
          CHECK(twice[row] == in_double.slopes(alone, each)[row]);
        }
      }
    }
}

TEST_CASE("equal logits at one temperature have slope 0 exactly") {
  for (const std::size_t classes : {1u, 3u, 17u, 600u}) {
    logit_pair logits = independent_logits(4, classes, classes);
    logits.teacher = logits.student;
    for (const loss_case& loss : knowing_their_slope(default_cases(4, classes))) {
      if (loss.terms.size() > 1 || loss.is(loss_kind::soft_cross_entropy) ||
          loss.is(loss_kind::user_divergence) || loss.is(loss_kind::corrected_kl))
        continue;
      INFO(loss.name << ", " << classes << " classes");
      for (const double slope : slope_logits<float>(logits, layout::compact).slopes(loss)) CHECK(slope == 0);
      for (const double slope : slope_logits<double>(logits, layout::every_third).slopes(loss))
        CHECK(slope == 0);
    }
  }
}

TEST_CASE("one class has slope 0 at any temperatures") {
  const slope_logits<float> one(independent_logits(5, 1, 3), layout::compact);
  for (const loss_case& loss : knowing_their_slope(all_cases(5, 1))) {
    if (loss.is(loss_kind::user_divergence)) continue;
    INFO(loss.name);
    for (const double slope : one.slopes(loss)) CHECK(slope == 0);
  }
}

TEST_CASE("a constant added to the logits changes no slope") {
  logit_pair logits = independent_logits(3, 20, 5);
  const std::vector<double> before =
      slope_logits<double>(logits, layout::compact).slopes(case_of(reverse_kl{.temperature = 3}));
  for (double& logit : logits.student) logit += 1000;
  for (double& logit : logits.teacher) logit -= 500;
  const std::vector<double> after =
      slope_logits<double>(logits, layout::compact).slopes(case_of(reverse_kl{.temperature = 3}));
  for (std::size_t row = 0; row < 3; ++row) CHECK(after[row] == Approx(before[row]).epsilon(1e-11));
}

// Classes masked in both are not there; a masked class of one of them only makes some values infinite.
TEST_CASE("logits of -inf") {
  constexpr std::size_t classes = 12, kept = 9;
  logit_pair all = independent_logits(3, classes, 5), few{3, kept, {}, {}};
  for (std::size_t row = 0; row < 3; ++row)
    for (std::size_t c = 0; c < classes; ++c) {
      const std::size_t i = row * classes + c;
      if (c < kept)
        few.student.push_back(all.student[i]), few.teacher.push_back(all.teacher[i]);
      else
        all.student[i] = all.teacher[i] = -kNoLogit;
    }
  for (const loss_case& loss : knowing_their_slope(all_cases(3, kept))) {
    if (loss.is(loss_kind::user_divergence) || loss.terms.size() > 1) continue;  // 0 / 0; logit_mse
    INFO(loss.name);
    const auto with = slope_logits<float>(all, layout::compact).slopes(loss),
               without = slope_logits<float>(few, layout::compact).slopes(loss);
    for (std::size_t row = 0; row < 3; ++row)
      CHECK(with[row] == Approx(without[row]).epsilon(1e-4).margin(1e-5));
  }
  all.student[classes] = -kNoLogit;  // the teacher's is not
  const slope_logits<float> infinite(all, layout::compact);
  const auto forward = infinite.slopes(case_of(forward_kl{})),
             mixture = infinite.slopes(case_of(jensen_shannon{}));
  CHECK(std::isfinite(forward[0]));
  CHECK(std::isnan(forward[1]));
  CHECK(std::isfinite(forward[2]));
  for (const double slope : mixture) CHECK(std::isfinite(slope));
}

TEST_CASE("slopes do not depend on what else is asked for, nor on the memory of the gradient") {
  for (const std::size_t classes : {4u, 70u})
    for (const loss_case& loss : knowing_their_slope(default_cases(6, classes))) {
      const logit_pair logits = independent_logits(6, classes, classes);
      slope_logits<float> of(logits, layout::compact);
      const std::vector<double> expected = of.slopes(loss);
      guarded_matrix<float> gradient(6, classes), plain(6, classes);
      std::vector<double> slopes(6);
      const double value = loss(of.student.view(), of.teacher.view(), plain.view());
      INFO(loss.name << ", " << classes << " classes");
      CHECK(loss(of.student.view(), of.teacher.view(), gradient.view(), {.temperature_slopes = slopes}) ==
            value);
      CHECK(slopes == expected);
      CHECK(gradient.bits() == plain.bits());
      (void)loss(of.student.view(), of.teacher.view(), of.student.view(), {.temperature_slopes = slopes});
      CHECK(slopes == expected);
      CHECK(of.student.bits() == gradient.bits());
    }
}

TEST_CASE("slopes in float and 16 bits, on every target, against double") {
  on_every_target([] {
    for (const std::size_t classes : {1u, 2u, 3u, 7u, 8u, 17u, 33u, 130u})
      for (const loss_case& loss : knowing_their_slope(default_cases(5, classes))) {
        if (loss.is(loss_kind::user_divergence)) continue;
        INFO(loss.name << ", " << classes << " classes");
        check_precision<float>(loss, independent_logits(5, classes, classes), 5e-6);
        check_precision<bfloat16>(loss, independent_logits(5, classes, classes + 1), 5e-6);
        if (loss.is(loss_kind::standardized_kl) && classes == 2) continue;  // 0 but for ε
        check_precision<float>(loss, near_equal_logits(5, classes, classes), 2e-5);
      }
  });
}

TEST_CASE("any executor gives the same slopes") {
  constexpr std::size_t rows = 53;
  const std::vector<float> weights = random_weights(rows, 1);
  for (const std::size_t classes : {3u, 70u}) {
    const slope_logits<float> of(independent_logits(rows, classes, classes), layout::compact);
    for (const loss_case& loss : knowing_their_slope(default_cases(rows, classes))) {
      const std::vector<double> serial = of.slopes(loss, {.row_weights = weights});
      for (const std::size_t block : {1u, 3u, 16u}) {
        block_executor executor(3, block);
        CHECK(of.slopes(loss, {.row_weights = weights, .executor = executor}) == serial);
      }
    }
  }
}
