#include <catch2/catch.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"

using namespace distill;

TEST_CASE("soft_cross_entropy against the oracle") {
  support::check_against_oracle(support::maker_of(soft_cross_entropy{}));
  support::check_against_oracle(support::maker_of(soft_cross_entropy{.temperature = 3}));
  support::check_against_oracle(support::maker_of(
      soft_cross_entropy{.temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false}));
}

TEST_CASE("soft_cross_entropy is forward_kl plus the teacher's entropy") {
  const auto logits = support::independent_logits(5, 40, 9);
  const matrix_view z(logits.student.data(), 5, 40), t(logits.teacher.data(), 5, 40);
  std::vector<double> own(200), other(200);
  const double difference = soft_cross_entropy{.temperature = 2}(z, t, matrix_view(own.data(), 5, 40)) -
                            forward_kl{.temperature = 2}(z, t, matrix_view(other.data(), 5, 40));
  CHECK(difference == Approx(soft_cross_entropy{.temperature = 2}(t, t)).epsilon(1e-12));
  for (std::size_t i = 0; i < own.size(); ++i) CHECK(own[i] == Approx(other[i]).margin(1e-15));
}
