#include <catch2/catch.hpp>
#include <cstdint>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/loss_term.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"

using namespace distill;

TEST_CASE("an objective against the oracle") {
  support::check_against_oracle(support::short_objective_case);
  support::check_against_oracle(support::long_objective_case);
}

TEST_CASE("an objective whose parts share their temperatures against the oracle") {
  for (std::size_t which = 0; which < support::shared_objective_cases; ++which)
    support::check_against_oracle([which](std::size_t rows, std::size_t classes) {
      return support::shared_objective_case(which, rows, classes);
    });
}

TEST_CASE("an objective evaluated in float is the weighted sum of its losses") {
  constexpr std::size_t rows = 9;
  std::vector<float> weights(rows, 1.0f);
  weights[2] = 0, weights[5] = -0.5f, weights[7] = 3;
  for (const std::size_t classes : {40u, 530u})
    for (std::size_t which = 0; which < support::shared_objective_cases; ++which) {
      const support::loss_case loss = support::shared_objective_case(which, rows, classes);
      const auto logits = support::independent_logits(rows, classes, 11 + which);
      std::vector<float> student(logits.student.begin(), logits.student.end()),
          teacher(logits.teacher.begin(), logits.teacher.end());
      const matrix_view z(student.data(), rows, classes), t(teacher.data(), rows, classes);
      std::vector<float> together(rows * classes, 1.0f), apart(rows * classes, 1.0f);
      std::vector<double> values(rows), part(rows), sums(rows);
      row_options options{.row_weights = weights, .row_values = values, .accumulate = true};
      const auto input = [](const matrix_view<float>& m) { return detail::input_of(m); };
      const double value =
          loss(input(z), input(t), detail::output_of(matrix_view(together.data(), rows, classes)), options);
      options.row_values = part;
      double sum = 0;
      for (const loss_term& term : loss.terms) {
        sum += evaluate(term.name, std::span(&term, 1), input(z), input(t),
                        detail::output_of(matrix_view(apart.data(), rows, classes)), options);
        for (std::size_t row = 0; row < rows; ++row) sums[row] += part[row];
      }
      INFO(loss.name << ", " << classes << " classes");
      CHECK(value == Approx(sum).epsilon(1e-6));
      for (std::size_t row = 0; row < rows; ++row)
        CHECK(values[row] == Approx(sums[row]).epsilon(2e-6).margin(1e-6));
      for (std::size_t i = 0; i < together.size(); ++i)
        REQUIRE(together[i] == Approx(apart[i]).epsilon(0).margin(5e-6));
    }
}

TEST_CASE("an objective is the weighted sum of its losses, each with its own denominator") {
  for (const std::size_t classes : {6u, 90u}) {
    const auto logits = support::independent_logits(8, classes, 4);
    const matrix_view z(logits.student.data(), 8, classes), t(logits.teacher.data(), 8, classes);
    const std::vector<std::int64_t> labels = {0, -100, 2, 3, -100, -100, 1, 0};
    const std::vector<float> weights = {1, 2, 0, 0.5f, -1, 1, 0, 1};
    const forward_kl soft{.temperature = 5};
    const cross_entropy hard{.labels = labels};
    const row_options rows{.row_weights = weights};
    std::vector<double> total(8 * classes), of_soft(8 * classes), of_hard(8 * classes);
    const double value = (0.7 * soft + 0.3 * hard)(z, t, matrix_view(total.data(), 8, classes), rows);
    const double sum = 0.7 * soft(z, t, matrix_view(of_soft.data(), 8, classes), rows) +
                       0.3 * hard(z, t, matrix_view(of_hard.data(), 8, classes), rows);
    CHECK(value == Approx(sum).epsilon(1e-13));
    for (std::size_t i = 0; i < total.size(); ++i)
      REQUIRE(total[i] == Approx(0.7 * of_soft[i] + 0.3 * of_hard[i]).margin(1e-14));
  }
}

TEST_CASE("objectives are built by arithmetic") {
  const std::int32_t labels[] = {0};
  const forward_kl a{.temperature = 4};
  const cross_entropy b{.labels = labels};
  const objective sum = 2 * (0.5 * a + b * 0.25) * 2 + reverse_kl{};
  REQUIRE(sum.terms().size() == 3);
  CHECK(sum.terms()[0].coefficient == 2);
  CHECK(sum.terms()[1].coefficient == 1);
  CHECK(sum.terms()[2].coefficient == 1);
  const objective plain = a + reverse_kl{};
  CHECK(plain.terms().size() == 2);
}

TEST_CASE("losses print as they would be written") {
  CHECK(to_string(forward_kl{.temperature = 4}) == "forward_kl{.temperature = 4}");
  CHECK(to_string(forward_kl{.temperature = 4, .teacher_temperature = 2.5, .temperature_squared = false}) ==
        "forward_kl{.temperature = 4, .teacher_temperature = 2.5, .temperature_squared = false}");
  CHECK(to_string(jensen_shannon{.beta = 0.25}) == "jensen_shannon{.temperature = 1, .beta = 0.25}");
  CHECK(to_string(alpha_beta{.alpha = 1, .beta = -0.5}) ==
        "alpha_beta{.temperature = 1, .alpha = 1, .beta = -0.5}");
  CHECK(to_string(logit_mse{}) == "logit_mse{}");
  CHECK(to_string(0.5 * skewed_reverse_kl{.alpha = 0.2} + reverse_kl{}) ==
        "0.5 * skewed_reverse_kl{.temperature = 1, .alpha = 0.2} + reverse_kl{.temperature = 1}");
}

TEST_CASE("losses compare by their parameters") {
  CHECK(forward_kl{.temperature = 2} == forward_kl{.temperature = 2});
  CHECK(forward_kl{.temperature = 2} != forward_kl{.temperature = 3});
  CHECK(forward_kl{} != forward_kl{.temperature_squared = false});
  CHECK(forward_kl{} != forward_kl{.teacher_temperature = 1});
  CHECK(alpha_beta{} != alpha_beta{.beta = 0.25});
  const std::int32_t labels[] = {0}, others[] = {0};
  CHECK(cross_entropy{.labels = labels} == cross_entropy{.labels = labels});
  CHECK(cross_entropy{.labels = labels} != cross_entropy{.labels = others});
  CHECK(cross_entropy{.labels = labels} != cross_entropy{.labels = labels, .ignore_index = 0});
}
