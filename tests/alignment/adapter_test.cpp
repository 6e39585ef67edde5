// The adapter against its definition in long double, finite differences, every target and executor.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/alignment/adapter.hpp>
#include <distill/dispatch.hpp>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/view/matrix_view.hpp>
#include <string>
#include <vector>

#include "alignment/plain_product.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/larger_error.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {

std::vector<adapter> all_adapters() {
  return {{.student_width = 7, .teacher_width = 19},
          {.student_width = 9, .teacher_width = 9, .residual = true},
          {.student_width = 21, .teacher_width = 35, .bottleneck = 18},
          {.student_width = 17, .teacher_width = 17, .bottleneck = 5, .layer_norm = true, .residual = true},
          {.student_width = 6, .teacher_width = 33, .bottleneck = 40, .layer_norm = true, .epsilon = 0.1},
          {.student_width = 6, .teacher_width = 5, .layer_norm = true}};
}

template <class T>
std::vector<T> normal_numbers(std::size_t count, std::uint64_t seed) {
  random_source random(seed);
  std::vector<T> result(count);
  for (T& x : result) x = static_cast<T>(random.normal());
  return result;
}

// An adapter with everything it works on.
template <class T>
struct fixture {
  adapter a;
  std::size_t rows;
  std::vector<T> parameters, input, output, saved, upstream, input_gradient, gradient;

  explicit fixture(const adapter& which, std::size_t row_count = 6)
      : a(which),
        rows(row_count),
        parameters(normal_numbers<T>(a.parameter_count(), 1)),
        input(normal_numbers<T>(rows * a.student_width, 2)),
        output(rows * a.teacher_width),
        saved(a.saved_count(rows)),
        upstream(normal_numbers<T>(rows * a.teacher_width, 3)),
        input_gradient(input.size()),
        gradient(parameters.size()) {}
  matrix_view<const T> x() const { return {input.data(), rows, a.student_width}; }
  matrix_view<T> y() { return {output.data(), rows, a.teacher_width}; }
  matrix_view<const T> dy() const { return {upstream.data(), rows, a.teacher_width}; }
  matrix_view<T> dx() { return {input_gradient.data(), rows, a.student_width}; }

  void forward(executor_ref executor = {}) {
    a.forward(x(), y(), {.product = product, .parameters = parameters, .saved = saved, .executor = executor});
  }
  void backward(bool accumulate = false, executor_ref executor = {}) {
    a.backward(x(), dy(), dx(),
               {.product = product,
                .parameters = parameters,
                .saved = saved,
                .parameter_gradient = gradient,
                .accumulate = accumulate,
                .executor = executor});
  }
  double weighted_output() {
    forward();
    double sum = 0;
    for (std::size_t i = 0; i < output.size(); ++i)
      sum += static_cast<double>(output[i]) * static_cast<double>(upstream[i]);
    return sum;
  }
};

// The definition, in long double, with the parameters in their stated order.
template <class T>
std::vector<long double> expected_output(const fixture<T>& f) {
  const adapter& a = f.a;
  const T* next = f.parameters.data();
  std::vector<long double> result;
  const T* const down = next;
  const T* const down_bias = down + a.bottleneck * a.student_width;
  const T* const up = down_bias + a.bottleneck;
  const std::size_t inner = a.bottleneck > 0 ? a.bottleneck : a.student_width;
  const T* const up_bias = up + inner * a.teacher_width;
  const T* const gain = up_bias + a.teacher_width;
  const T* const shift = gain + a.teacher_width;
  for (std::size_t row = 0; row < f.rows; ++row) {
    const T* const x = f.input.data() + row * a.student_width;
    std::vector<long double> h(inner), y(a.teacher_width);
    for (std::size_t j = 0; j < inner; ++j) {
      if (a.bottleneck == 0) {
        h[j] = x[j];
        continue;
      }
      long double sum = down_bias[j];
      for (std::size_t k = 0; k < a.student_width; ++k)
        sum += static_cast<long double>(down[j * a.student_width + k]) * static_cast<long double>(x[k]);
      h[j] = sum * 0.5L * std::erfc(-sum / std::sqrt(2.0L));
    }
    long double mean = 0, variance = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = up_bias[i];
      for (std::size_t j = 0; j < inner; ++j) y[i] += static_cast<long double>(up[i * inner + j]) * h[j];
      if (a.residual) y[i] += x[i];
      mean += y[i] / y.size();
    }
    for (const long double v : y) variance += (v - mean) * (v - mean) / y.size();
    for (std::size_t i = 0; i < y.size(); ++i)
      result.push_back(!a.layer_norm
                           ? y[i]
                           : (y[i] - mean) / std::sqrt(variance + static_cast<long double>(a.epsilon)) *
                                     gain[i] +
                                 shift[i]);
  }
  return result;
}

template <class T>
void check_forward(const adapter& a, double allowed) {
  fixture<T> f(a);
  f.forward();
  const std::vector<long double> expected = expected_output(f);
  long double largest = 0, worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    worst = support::larger_error(worst, std::abs(expected[i] - static_cast<long double>(f.output[i])));
  }
  CHECK(static_cast<double>(worst / largest) < allowed);
}

}  // namespace

TEST_CASE("forward against the definition, on every target") {
  const restored_target restore;
  for (const std::string& target : available_targets()) {
    force_target(target);
    INFO("target " << target);
    for (const adapter& a : all_adapters()) {
      check_forward<double>(a, 1e-14);
      check_forward<float>(a, 2e-6);
    }
  }
}

TEST_CASE("finite differences of the input and every parameter") {
  for (const adapter& a : all_adapters()) {
    fixture<double> f(a);
    f.forward();
    f.backward();
    const auto check = [&](std::vector<double>& at, const std::vector<double>& gradient, const char* what) {
      for (std::size_t i = 0; i < at.size(); ++i) {
        const double kept = at[i], step = 1e-5;
        at[i] = kept + step;
        const double above = f.weighted_output();
        at[i] = kept - step;
        const double below = f.weighted_output();
        at[i] = kept;
        INFO(what << " " << i << ", bottleneck " << a.bottleneck);
        CHECK(gradient[i] == Approx((above - below) / (2 * step)).epsilon(1e-6).margin(1e-6));
      }
    };
    check(f.input, f.input_gradient, "input");
    check(f.parameters, f.gradient, "parameter");
  }
}

TEST_CASE("float gradients against double, on every target") {
  const restored_target restore;
  for (const std::string& target : available_targets()) {
    force_target(target);
    for (const adapter& a : all_adapters()) {
      fixture<float> f(a, 70);
      fixture<double> exact(a, 70);
      for (auto [from, to] : {std::pair{&f.parameters, &exact.parameters}, std::pair{&f.input, &exact.input},
                              std::pair{&f.upstream, &exact.upstream}})
        to->assign(from->begin(), from->end());
      f.forward();
      f.backward();
      exact.forward();
      exact.backward();
      const auto check = [&](const std::vector<float>& got, const std::vector<double>& expected) {
        double largest = 0, worst = 0;
        for (std::size_t i = 0; i < got.size(); ++i) {
          largest = std::max(largest, std::abs(expected[i]));
          worst = support::larger_error(worst, std::abs(static_cast<double>(got[i]) - expected[i]));
        }
        CHECK(worst / largest < 5e-6);
      };
      INFO("target " << target << ", bottleneck " << a.bottleneck);
      check(f.input_gradient, exact.input_gradient);
      check(f.gradient, exact.gradient);
    }
  }
}

TEST_CASE("GELU keeps its digits from tail to tail") {
  const restored_target restore;
  const adapter a{.student_width = 1, .teacher_width = 1, .bottleneck = 1};
  for (const std::string& target : available_targets()) {
    force_target(target);
    for (double x = -14; x < 14; x += 0.0137) {
      fixture<float> f(a, 1);
      f.parameters = {1, 0, 1, 0};
      f.input = {static_cast<float>(x)};
      f.upstream = {1};
      f.forward();
      f.backward();
      const long double z = static_cast<long double>(f.input[0]),
                        phi = std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0L));
      const long double probability = std::erfc(-z / std::sqrt(2.0L)) / 2,
                        scale = std::max(1.0L, std::abs(z));
      CAPTURE(target, x);
      CHECK(std::abs(static_cast<double>(f.output[0] - z * probability)) < 3e-7 * static_cast<double>(scale));
      CHECK(std::abs(static_cast<double>(f.input_gradient[0] - (probability + z * phi))) <
            3e-7 * static_cast<double>(scale));
      // Where the tail is a normal number its relative error stays small too.
      if (x < 0 && x > -12) CHECK(std::abs(static_cast<double>(f.output[0] / (z * probability) - 1)) < 2e-5);
    }
  }
}

TEST_CASE("gradients are added where asked") {
  for (const adapter& a : all_adapters()) {
    fixture<double> f(a);
    f.forward();
    f.backward();
    const auto input_once = f.input_gradient, once = f.gradient;
    f.backward(true);
    for (std::size_t i = 0; i < once.size(); ++i) CHECK(f.gradient[i] == Approx(2 * once[i]).margin(1e-12));
    for (std::size_t i = 0; i < input_once.size(); ++i)
      CHECK(f.input_gradient[i] == Approx(2 * input_once[i]).margin(1e-12));
  }
}

TEST_CASE("either gradient alone") {
  for (const adapter& a : all_adapters()) {
    fixture<float> f(a), alone(a);
    f.forward();
    f.backward();
    alone.forward();
    alone.a.backward(alone.x(), alone.dy(), no_gradient,
                     {.product = product,
                      .parameters = alone.parameters,
                      .saved = alone.saved,
                      .parameter_gradient = alone.gradient});
    CHECK(alone.gradient == f.gradient);
    workspace kept;
    alone.a.backward(
        alone.x(), alone.dy(), alone.dx(),
        {.product = product, .parameters = alone.parameters, .saved = alone.saved, .workspace = &kept});
    CHECK(alone.input_gradient == f.input_gradient);
    CHECK((kept.size() > 0) == (a.layer_norm || a.bottleneck > 0));
  }
}

TEST_CASE("any executor gives the same bits") {
  for (const adapter& a : all_adapters()) {
    fixture<float> serial(a, 53);
    serial.forward();
    serial.backward();
    for (const std::size_t workers : {1u, 4u}) {
      block_executor executor(workers, 3);
      fixture<float> f(a, 53);
      f.forward(executor);
      f.backward(false, executor);
      CHECK(f.output == serial.output);
      CHECK(f.gradient == serial.gradient);
      CHECK(f.input_gradient == serial.input_gradient);
      CHECK(executor.calls() > 0);
    }
  }
}

TEST_CASE("initial values follow the seed, the scheme and the scale") {
  const adapter a{.student_width = 40, .teacher_width = 60, .bottleneck = 20, .layer_norm = true};
  std::vector<float> first(a.parameter_count()), second = first;
  a.initialize(std::span<float>(first), {.seed = 5});
  a.initialize(std::span<float>(second), {.seed = 5});
  CHECK(first == second);
  a.initialize(std::span<float>(second), {.seed = 6});
  CHECK(first != second);
  const auto largest = [](const matrix_view<float>& m) {
    float most = 0;
    double sum = 0;
    for (std::size_t i = 0; i < m.rows() * m.columns(); ++i) {
      most = std::max(most, std::abs(m.data_handle()[i]));
      sum += static_cast<double>(m.data_handle()[i]);
    }
    CHECK(std::abs(sum) / static_cast<double>(m.rows() * m.columns()) <
          0.1 * static_cast<double>(most) + 1e-9);
    return static_cast<double>(most);
  };
  const auto parts = a.view(std::span<float>(first));
  CHECK(largest(parts.down_weight) == Approx(std::sqrt(6.0 / 60)).epsilon(0.02));
  CHECK(largest(parts.up_weight) == Approx(std::sqrt(6.0 / 80)).epsilon(0.02));
  CHECK(parts.gain[59] == 1);
  CHECK((parts.down_bias[0] == 0 && parts.up_bias[59] == 0 && parts.shift[59] == 0));
  a.initialize(std::span<float>(first), {.seed = 5, .scheme = weight_scheme::he, .up_scale = 0.5});
  CHECK(largest(parts.down_weight) == Approx(std::sqrt(6.0 / 40)).epsilon(0.02));
  CHECK(largest(parts.up_weight) == Approx(0.5 * std::sqrt(6.0 / 20)).epsilon(0.02));
  // The first numbers of seed 1, so that no platform or release changes them unnoticed.
  std::vector<double> few(2);
  adapter{.student_width = 1, .teacher_width = 1}.initialize(std::span<double>(few), {.seed = 1});
  CHECK(std::abs(few[0]) < std::sqrt(3.0));
  CHECK(few[1] == 0);

  fixture<double> identity({.student_width = 9, .teacher_width = 9, .bottleneck = 4, .residual = true});
  identity.a.initialize(std::span<double>(identity.parameters), {.up_scale = 0});
  identity.forward();
  CHECK(identity.output == identity.input);
}

TEST_CASE("what an adapter refuses, and that nothing is written then") {
  fixture<float> f({.student_width = 4, .teacher_width = 3, .bottleneck = 2});
  const auto output = f.output;
  const auto saved = f.saved;
  const auto call = [&]() -> adapter_call<float> {
    return {
        .product = product, .parameters = f.parameters, .saved = f.saved, .parameter_gradient = f.gradient};
  };
  const auto refuse = [&](const std::string& message, auto g) {
    CHECK_THROWS_WITH(g(), message);
    CHECK(f.output == output);
    CHECK(f.saved == saved);
  };
  refuse("adapter: student_width is 0, teacher_width is 3; both must be > 0",
         [&] { adapter{.teacher_width = 3}.forward(f.x(), f.y(), call()); });
  refuse("adapter: residual needs equal widths, student_width is 4, teacher_width is 3", [&] {
    adapter{.student_width = 4, .teacher_width = 3, .bottleneck = 2, .residual = true}.forward(f.x(), f.y(),
                                                                                               call());
  });
  refuse("adapter: epsilon must be finite and > 0, got 0", [&] {
    adapter{.student_width = 4, .teacher_width = 3, .bottleneck = 2, .epsilon = 0}.forward(f.x(), f.y(),
                                                                                           call());
  });
  refuse("adapter: output is 6 x 2, must be 6 x 3",
         [&] { f.a.forward(f.x(), matrix_view<float>(f.output.data(), 6, 2), call()); });
  refuse("adapter: input must have contiguous rows, one after the other",
         [&] { f.a.forward(matrix_view<const float>(f.input.data(), 6, 4, 1, 6), f.y(), call()); });
  refuse("adapter: input has 0 rows",
         [&] { f.a.forward(matrix_view<const float>(f.input.data(), 0, 4), f.y(), call()); });
  refuse("adapter: output has no memory",
         [&] { f.a.forward(f.x(), matrix_view<float>(nullptr, 6, 3), call()); });
  refuse("adapter: saved has 3 elements, needs 24", [&] {
    adapter_call<float> c = call();
    c.saved = c.saved.first(3);
    f.a.forward(f.x(), f.y(), c);
  });
  refuse("adapter: parameters has 5 elements, needs 19", [&] {
    adapter_call<float> c = call();
    c.parameters = c.parameters.first(5);
    f.a.forward(f.x(), f.y(), c);
  });
  refuse("adapter: output overlaps input",
         [&] { f.a.forward(f.x(), matrix_view<float>(f.input.data(), 6, 3), call()); });
  refuse("adapter: parameter_gradient overlaps saved", [&] {
    adapter_call<float> c = call();
    c.parameter_gradient = f.saved;
    c.parameter_gradient = c.parameter_gradient.first(19);
    f.a.backward(f.x(), f.dy(), f.dx(), c);
  });
  refuse("adapter: input_gradient is 5 x 4, must be 6 x 4",
         [&] { f.a.backward(f.x(), f.dy(), matrix_view<float>(f.input_gradient.data(), 5, 4), call()); });
  CHECK_THROWS_AS(f.a.initialize(std::span<float>(f.parameters), {.up_scale = -1}), parameter_error);
}
