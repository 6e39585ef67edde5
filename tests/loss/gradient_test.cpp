// Gradients against finite differences of the values, in double, with random upstream weights on the rows.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/row_options.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/guarded_matrix.hpp"
#include "support/loss_cases.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {

void check_differences(const loss_case& loss, std::size_t rows, std::size_t classes, layout how) {
  const logit_pair logits = independent_logits(rows, classes, 31 * classes + rows, 1.5);
  guarded_matrix<double> student(rows, logits.student, how), teacher(rows, logits.teacher, how);
  guarded_matrix<double> gradient(rows, classes, how);
  random_source random(classes);
  std::vector<float> upstream(rows);
  for (float& weight : upstream) weight = static_cast<float>(random.normal());
  const row_options options{.row_weights = upstream};
  (void)loss(student.view(), teacher.view(), gradient.view(), options);
  double largest = 0;
  for (std::size_t i = 0; i < rows * classes; ++i)
    largest = std::max(largest, std::abs(gradient.at(i / classes, i % classes)));
  INFO(loss.name << ", " << rows << " x " << classes << ", " << name_of(how));
  REQUIRE((largest > 0 || classes == 1));
  constexpr double step = 1e-3;
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t c = 0; c<classes; c += classes> 12 ? 5 : 1) {
      const double at = student(row, c);
      const auto value = [&](double offset) {
        student(row, c) = at + offset;
        return loss(student.view(), teacher.view(), {}, options);
      };
      const double slope =
          (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
      student(row, c) = at;
      REQUIRE(gradient.at(row, c) == Approx(slope).epsilon(0).margin(2e-9 * std::max(largest, 1.0)));
    }
}

}  // namespace

TEST_CASE("gradients are the derivatives of the values") {
  for (const auto& [rows, classes] : {std::pair<std::size_t, std::size_t>{3, 2}, {5, 7}, {2, 45}})
    for (const loss_case& loss : all_cases(rows, classes)) {
      if (loss.holds_constant()) continue;
      for (const layout how : {layout::compact, layout::every_third, layout::column_major})
        check_differences(loss, rows, classes, how);
    }
}

// total_variation has a kink where p = q: there the documented subgradient is 0.
TEST_CASE("total_variation has gradient 0 where p = q in every class") {
  const double logits[] = {0.3, -1, 2};
  double gradient[3] = {7, 7, 7};
  CHECK(total_variation{}(matrix_view(logits, 1, 3), matrix_view(logits, 1, 3),
                          matrix_view(gradient, 1, 3)) == 0);
  for (const double entry : gradient) CHECK(entry == 0);
}
