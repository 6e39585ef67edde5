// What must hold for every mixture, and how mixing relates to the losses.
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <distill/numeric/log_softmax.hpp>

#include "teacher/mixing_cases.hpp"

namespace mixing_property_test {

using namespace distill;
using namespace mixing_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 6, classes = 40;

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

struct batch {
  std::vector<double> student = normal_logits(rows * classes, 1), a = normal_logits(rows * classes, 2),
                      b = normal_logits(rows * classes, 3), c = normal_logits(rows * classes, 4);
  std::vector<double> out = std::vector<double>(rows * classes),
                      gradient = std::vector<double>(rows * classes);

  static matrix_view<double> view(std::vector<double>& m) { return {m.data(), rows, classes}; }
  teacher_list all() { return {view(a), view(b), view(c)}; }
};

}  // namespace

TEST_CASE("one teacher is itself, up to a shift of each row") {
  batch x;
  std::vector<double> expected(rows * classes);
  log_softmax(batch::view(x.a), batch::view(expected), {.temperature = 3});
  for (const kind how : {kind::probabilities, kind::log_probabilities}) {
    mix(how, {batch::view(x.a)}, batch::view(x.out), 3);
    CHECK(largest_difference(x.out, expected) < 1e-14);
  }
  mix(kind::logits, {batch::view(x.a)}, batch::view(x.out), 3);
  CHECK(x.out == x.a);
}

TEST_CASE("the same teacher twice is that teacher") {
  batch x;
  for (const kind how : all_kinds) {
    std::vector<double> once(rows * classes);
    mix(how, {batch::view(x.a)}, batch::view(once), 3);
    mix(how, {batch::view(x.a), batch::view(x.a)}, batch::view(x.out), 3);
    CHECK(largest_difference(x.out, once) < 1e-14);
  }
}

TEST_CASE("the order of the teachers does not matter") {
  batch x;
  const std::vector<double> w = {0.5, 0.2, 0.3}, turned = {0.3, 0.5, 0.2};
  for (const kind how : all_kinds) {
    std::vector<double> other(rows * classes);
    mix(how, x.all(), batch::view(x.out), 2, {.weights = w});
    mix(how, {batch::view(x.c), batch::view(x.a), batch::view(x.b)}, batch::view(other), 2,
        {.weights = turned});
    CHECK(largest_difference(x.out, other) < 1e-13);
  }
}

TEST_CASE("a mixture of log-probabilities sums to 1 in every row") {
  batch x;
  for (const kind how : {kind::probabilities, kind::log_probabilities}) {
    mix(how, x.all(), batch::view(x.out), 2);
    for (std::size_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (std::size_t c = 0; c < classes; ++c) sum += std::exp(x.out[row * classes + c]);
      CHECK(sum == Approx(1).epsilon(1e-13));
    }
  }
}

TEST_CASE("shifting a teacher's logits changes nothing but the mean of logits") {
  batch x;
  std::vector<double> shifted = x.b;
  for (double& z : shifted) z += 50;
  for (const kind how : {kind::probabilities, kind::log_probabilities}) {
    std::vector<double> other(rows * classes);
    mix(how, x.all(), batch::view(x.out), 2);
    mix(how, {batch::view(x.a), batch::view(shifted), batch::view(x.c)}, batch::view(other), 2);
    CHECK(largest_difference(x.out, other) < 1e-12);
  }
}

TEST_CASE("the mean of logits, softened, is the geometric mean") {
  batch x;
  std::vector<double> geometric(rows * classes);
  const std::vector<double> w = {1, 2, 3};
  mean_of_logits{}(x.all(), batch::view(x.out), {.weights = w});
  log_softmax(batch::view(x.out), batch::view(x.out), {.temperature = 5});
  mean_of_log_probabilities{.temperature = 5}(x.all(), batch::view(geometric), {.weights = w});
  CHECK(largest_difference(x.out, geometric) < 1e-13);
}

TEST_CASE("the arithmetic, the geometric mean and the temperature differ") {
  batch x;
  std::vector<double> other(rows * classes);
  mean_of_probabilities{.temperature = 2}(x.all(), batch::view(x.out));
  mean_of_log_probabilities{.temperature = 2}(x.all(), batch::view(other));
  CHECK(largest_difference(x.out, other) > 0.1);
  mean_of_probabilities{.temperature = 3}(x.all(), batch::view(other));
  CHECK(largest_difference(x.out, other) > 0.1);
  mean_of_log_probabilities{.temperature = 2}(x.all(), batch::view(x.out));
  mean_of_log_probabilities{.temperature = 3}(x.all(), batch::view(other));
  CHECK(largest_difference(x.out, other) > 0.1);
}

// sum_i w_i KL(p_i || q) = KL(mean || q) + sum_i w_i KL(p_i || mean): the same gradient, another value.
TEST_CASE("a sum of divergences is one divergence from the mean and the teachers' own") {
  batch x;
  const std::vector<double> w = {0.5, 0.2, 0.3};
  const forward_kl loss{.temperature = 2, .temperature_squared = false};
  std::vector<double> summed(rows * classes), values(rows), row_sums(rows, 0), divergences(rows * 3);
  std::vector<double>* const teachers[] = {&x.a, &x.b, &x.c};
  for (std::size_t i = 0; i < 3; ++i) {
    loss(batch::view(x.student), batch::view(*teachers[i]), batch::view(x.gradient),
         {.reduction = reduction::none, .row_values = values});
    for (std::size_t row = 0; row < rows; ++row) row_sums[row] += w[i] * values[row];
    for (std::size_t k = 0; k < summed.size(); ++k) summed[k] += w[i] * x.gradient[k];
  }
  mean_of_probabilities{.temperature = 2}(x.all(), batch::view(x.out), {.weights = w});
  const forward_kl of_mean{.temperature = 2, .teacher_temperature = 1, .temperature_squared = false};
  of_mean(batch::view(x.student), batch::view(x.out), batch::view(x.gradient),
          {.reduction = reduction::none, .row_values = values});
  divergences_from_mean{.temperature = 2}(x.all(), matrix_view(divergences.data(), rows, 3), {.weights = w});
  CHECK(largest_difference(summed, x.gradient) < 1e-13);
  for (std::size_t row = 0; row < rows; ++row) {
    double own = 0;
    for (std::size_t i = 0; i < 3; ++i) own += w[i] * divergences[3 * row + i];
    CHECK(row_sums[row] == Approx(values[row] + own).epsilon(1e-12));
    CHECK(own > 0.01);
  }
}

TEST_CASE("no teacher is farther from the mean than log 1 / w") {
  batch x;
  const std::vector<double> w = {0.9, 0.05, 0.05};
  std::vector<double> divergences(rows * 3);
  divergences_from_mean{.temperature = 0.01}(x.all(), matrix_view(divergences.data(), rows, 3),
                                             {.weights = w});
  for (std::size_t k = 0; k < divergences.size(); ++k) {
    CHECK(divergences[k] >= 0);
    CHECK(divergences[k] <= std::log(1 / w[k % 3]) + 1e-12);
  }
}

}  // namespace mixing_property_test
