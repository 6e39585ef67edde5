#include <catch2/catch.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"

using namespace distill;

TEST_CASE("reverse_kl against the oracle") {
  support::check_against_oracle(support::maker_of(reverse_kl{}));
  support::check_against_oracle(support::maker_of(reverse_kl{.temperature = 3}));
  support::check_against_oracle(support::maker_of(
      reverse_kl{.temperature = 3, .teacher_temperature = 0.7, .temperature_squared = false}));
}

TEST_CASE("reverse_kl is forward_kl with the arguments exchanged, its gradient is not") {
  const auto logits = support::independent_logits(5, 40, 9);
  const matrix_view z(logits.student.data(), 5, 40), t(logits.teacher.data(), 5, 40);
  std::vector<double> own(200), other(200);
  CHECK(reverse_kl{.temperature = 2}(z, t, matrix_view(own.data(), 5, 40)) ==
        Approx(forward_kl{.temperature = 2}(t, z, matrix_view(other.data(), 5, 40))).epsilon(1e-13));
  CHECK(own != other);
}
