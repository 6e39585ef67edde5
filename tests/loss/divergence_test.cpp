#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/divergence.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

#include "support/oracle_sweep.hpp"
#include "support/random_logits.hpp"

using namespace distill;

namespace {

struct forward {
  template <class T>
  T value(T p, T q) const {
    return p * std::log(p / q);
  }
  template <class T>
  T slope(T p, T q) const {
    return -p / q;
  }
};

struct scaled {
  double factor = 1;
  template <class T>
  T value(T p, T q) const {
    return static_cast<T>(factor) * (q - p) * (q - p);
  }
  template <class T>
  T slope(T p, T q) const {
    return static_cast<T>(2 * factor) * (q - p);
  }
};

}  // namespace

TEST_CASE("divergence against the oracle") {
  support::check_against_oracle(support::maker_of(divergence<support::pearson_chi2>{.temperature = 3}));
  support::check_against_oracle(support::maker_of(divergence<support::pearson_chi2>{
      .temperature = 3, .teacher_temperature = 4, .temperature_squared = false}));
}

// The functor squares q / p: it needs p to its own precision, however small p is beside q.
TEST_CASE("divergence shows p and q to their own precision") {
  const float student[] = {0, 0, 0}, teacher[] = {0, -10, 1};
  const double student_double[] = {0, 0, 0}, teacher_double[] = {0, -10, 1};
  const divergence<support::pearson_chi2> loss;
  CHECK(loss(matrix_view(student, 1, 3), matrix_view(teacher, 1, 3)) ==
        Approx(loss(matrix_view(student_double, 1, 3), matrix_view(teacher_double, 1, 3))).epsilon(1e-5));
}

TEST_CASE("a divergence with the formula of forward_kl is forward_kl") {
  for (const std::size_t classes : {5u, 200u}) {
    const auto logits = support::independent_logits(6, classes, 4);
    const matrix_view z(logits.student.data(), 6, classes), t(logits.teacher.data(), 6, classes);
    std::vector<double> own(6 * classes), built_in(6 * classes);
    CHECK(
        divergence<forward>{.temperature = 2}(z, t, matrix_view(own.data(), 6, classes)) ==
        Approx(forward_kl{.temperature = 2}(z, t, matrix_view(built_in.data(), 6, classes))).epsilon(1e-12));
    for (std::size_t i = 0; i < own.size(); ++i) REQUIRE(own[i] == Approx(built_in[i]).margin(1e-14));
  }
}

TEST_CASE("a divergence's functor keeps its state") {
  const auto logits = support::independent_logits(6, 20, 4);
  const matrix_view z(logits.student.data(), 6, 20), t(logits.teacher.data(), 6, 20);
  CHECK(divergence<scaled>{.function = {3}}(z, t) == Approx(3 * divergence<scaled>{}(z, t)).epsilon(1e-13));
}
