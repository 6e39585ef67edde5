#include <catch2/catch.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/view/matrix_view.hpp>

#include "support/oracle_sweep.hpp"

using namespace distill;

TEST_CASE("logit_mse against the oracle") { support::check_against_oracle(support::maker_of(logit_mse{})); }

TEST_CASE("logit_mse with reduction::mean is the mean squared error") {
  const float student[] = {1, 2, 3, 4}, teacher[] = {0, 0, 0, 0};
  float gradient[4];
  CHECK(logit_mse{}(matrix_view(student, 2, 2), matrix_view(teacher, 2, 2), matrix_view(gradient, 2, 2),
                    {.reduction = reduction::mean}) == 30.0 / 4);
  CHECK(gradient[3] == 2);
}
