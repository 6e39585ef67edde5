#include <catch2/catch.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/view/matrix_view.hpp>

#include "support/oracle_sweep.hpp"

using namespace distill;

TEST_CASE("total_variation against the oracle") {
  support::check_against_oracle(support::maker_of(total_variation{}));
  support::check_against_oracle(support::maker_of(total_variation{.temperature = 3}));
  support::check_against_oracle(support::maker_of(
      total_variation{.temperature = 2, .teacher_temperature = 1.5, .temperature_squared = false}));
}

TEST_CASE("total_variation of disjoint distributions is 1, of equal ones has no gradient") {
  const double student[] = {0, -2000, 3, 3}, teacher[] = {-2000, 0, 1, 1};
  double values[2], gradient[4] = {7, 7, 7, 7};
  (void)total_variation{}(matrix_view(student, 2, 2), matrix_view(teacher, 2, 2), matrix_view(gradient, 2, 2),
                          {.row_values = values});
  CHECK(values[0] == 1);
  CHECK(values[1] == 0);
  CHECK(gradient[2] == 0);
  CHECK(gradient[3] == 0);
}
