#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/view/matrix_view.hpp>

#include "support/oracle_sweep.hpp"

using namespace distill;

TEST_CASE("jensen_shannon against the oracle") {
  support::check_against_oracle(support::maker_of(jensen_shannon{}));
  support::check_against_oracle(support::maker_of(jensen_shannon{.temperature = 3, .beta = 0.1}));
  support::check_against_oracle(support::maker_of(jensen_shannon{
      .temperature = 2, .teacher_temperature = 1.5, .temperature_squared = false, .beta = 0.9}));
}

TEST_CASE("jensen_shannon of disjoint distributions is ln 2 at β = 1/2 and finite at any β") {
  const double student[] = {0, -2000}, teacher[] = {-2000, 0};
  const matrix_view z(student, 1, 2), t(teacher, 1, 2);
  CHECK(jensen_shannon{}(z, t) == Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(jensen_shannon{.beta = 0.1}(z, t) ==
        Approx(-0.1 * std::log(0.1) - 0.9 * std::log(0.9)).epsilon(1e-14));
}
