// The backward functions against central differences of their forward functions in double, with random
// upstream weights.
#include <catch2/catch.hpp>

#include "numeric/softmax_cases.hpp"
#include "support/larger_error.hpp"

using namespace softmax_cases;
using support::guarded_matrix;

namespace {

struct forward_and_backward {
  operation forward, backward;
};
constexpr forward_and_backward pairs[] = {{operation::softmax, operation::softmax_backward},
                                          {operation::log_softmax, operation::log_softmax_backward},
                                          {operation::log_sum_exp, operation::log_sum_exp_backward}};

// Σ upstream * forward(logits)
double weighted_sum(operation forward, const std::vector<double>& logits, std::size_t rows,
                    const guarded_matrix<double>& upstream, double temperature) {
  const guarded_matrix<double> input(rows, logits);
  guarded_matrix<double> output(rows, upstream.classes());
  call(forward, input.view(), upstream.view(), output.view(), {.temperature = temperature});
  double sum = 0;
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t c = 0; c < upstream.classes(); ++c) sum += upstream.at(row, c) * output.at(row, c);
  return sum;
}

double worst_difference(const forward_and_backward& functions, std::size_t classes, double temperature) {
  const std::size_t rows = 3;
  std::vector<double> logits = support::independent_logits(rows, classes, 11, 2).student;
  const std::size_t columns = has_vector_output(functions.forward) ? 1 : classes;
  const guarded_matrix<double> upstream(rows, support::independent_logits(rows, columns, 12, 1).student);
  const guarded_matrix<double> input(rows, logits);
  guarded_matrix<double> output(rows, columns), gradient(rows, classes);
  call(functions.forward, input.view(), upstream.view(), output.view(), {.temperature = temperature});
  const bool from_logits = functions.backward == operation::log_sum_exp_backward;
  call(functions.backward, (from_logits ? input : output).view(), upstream.view(), gradient.view(),
       {.temperature = temperature});
  double worst = 0, largest = 0;
  const double step = 1e-5 * temperature;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double at = logits[i];
    logits[i] = at + step;
    const double above = weighted_sum(functions.forward, logits, rows, upstream, temperature);
    logits[i] = at - step;
    const double below = weighted_sum(functions.forward, logits, rows, upstream, temperature);
    logits[i] = at;
    const double g = gradient.at(i / classes, i % classes);
    worst = support::larger_error(worst, std::abs(g - (above - below) / (2 * step)));
    largest = std::max(largest, std::abs(g));
  }
  return worst / largest;
}

}  // namespace

TEST_CASE("backward functions are the derivatives of the forward ones") {
  on_every_target([](const std::string& target) {
    for (const auto& functions : pairs)
      for (const std::size_t classes : {2, 7, 33, 90})
        for (const double temperature : {0.5, 1.0, 4.0}) {
          CAPTURE(target, name_of(functions.backward), classes, temperature);
          CHECK(worst_difference(functions, classes, temperature) <= 1e-8);
        }
  });
}

TEST_CASE("a uniform upstream moves nothing") {
  const guarded_matrix<double> logits(4, support::independent_logits(4, 50, 13).student);
  guarded_matrix<double> p(4, 50), gradient(4, 50);
  const guarded_matrix<double> ones(4, std::vector<double>(200, 1));
  distill::softmax(logits.view(), p.view());
  distill::softmax_backward(p.view(), ones.view(), gradient.view());
  for (std::size_t row = 0; row < 4; ++row)
    for (std::size_t c = 0; c < 50; ++c) CHECK(std::abs(gradient.at(row, c)) <= 1e-15);
}
