#include <catch2/catch.hpp>
#include <distill/loss/skewed_forward_kl.hpp>

#include "support/oracle_sweep.hpp"

using namespace distill;

TEST_CASE("skewed_forward_kl against the oracle") {
  support::check_against_oracle(support::maker_of(skewed_forward_kl{}));
  support::check_against_oracle(support::maker_of(skewed_forward_kl{.temperature = 3, .alpha = 0.5}));
  support::check_against_oracle(support::maker_of(skewed_forward_kl{
      .temperature = 2, .teacher_temperature = 1.5, .temperature_squared = false, .alpha = 0.3}));
}
