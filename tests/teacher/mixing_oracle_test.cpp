// Mixtures of teachers against their definitions: sizes, targets, types, layouts, weights.
#include "support/tolerance.hpp"
#include "teacher/mixing_cases.hpp"

namespace mixing_oracle_test {

using namespace distill;
using namespace mixing_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 5;

// `unit` is the rounding of the compute type.
template <class T, class Output>
void check(kind how, std::size_t count, std::size_t classes, layout memory, double temperature,
           long double unit) {
  const std::vector<guarded_matrix<T>> teachers = random_teachers<T>(count, rows, classes, memory);
  std::vector<double> weights(count);
  for (std::size_t i = 0; i < count; ++i) weights[i] = 1.0 + static_cast<double>(i);
  guarded_matrix<Output> output(rows, classes, memory, 1);
  mix(how, list_of(teachers), output.view(), temperature, {.weights = weights});
  const teacher_oracle::row w(weights.begin(), weights.end());
  for (std::size_t row = 0; row < rows; ++row) {
    const std::vector<teacher_oracle::row> z = rows_of(teachers, row);
    const teacher_oracle::row expected = teacher_oracle::mix(how, z, w, temperature),
                              got = row_of(output, row);
    long double size = 0;
    for (const teacher_oracle::row& teacher : z)
      for (long double x : teacher) size = std::max(size, std::abs(x));
    if (how != kind::logits) size /= temperature;
    bool is_near = true;
    for (std::size_t c = 0; c < classes; ++c) {
      const long double absolute = unit * (4 + 2 * size + std::abs(expected[c]));
      is_near =
          is_near && near(got[c], expected[c], support::rounding_of(element_traits<Output>::type), absolute);
    }
    INFO("kind " << static_cast<int>(how) << ", " << count << " teachers, " << classes << " classes, row "
                 << row << ", " << name_of(memory));
    CHECK(is_near);
  }
  CHECK(output.is_intact());
}

template <class T>
void check_divergences(std::size_t count, std::size_t classes, long double relative, long double absolute) {
  const std::vector<guarded_matrix<T>> teachers =
      random_teachers<T>(count, rows, classes, layout::padded_rows);
  std::vector<double> weights(count, 1), got(rows * count);
  weights[0] = 3;
  divergences_from_mean{.temperature = 2}(list_of(teachers), matrix_view(got.data(), rows, count),
                                          {.weights = weights});
  for (std::size_t row = 0; row < rows; ++row) {
    const std::vector<teacher_oracle::row> z = rows_of(teachers, row);
    const teacher_oracle::row mean =
        teacher_oracle::mix(kind::probabilities, z, {weights.begin(), weights.end()}, 2);
    for (std::size_t i = 0; i < count; ++i) {
      const long double expected = teacher_oracle::divergence(teacher_oracle::log_softmax(z[i], 2), mean);
      INFO(count << " teachers, " << classes << " classes, row " << row << ", teacher " << i);
      CHECK(near(got[row * count + i], expected, relative, absolute));
      CHECK(got[row * count + i] >= 0);
    }
  }
}

}  // namespace

TEST_CASE("mixing: every target and size") {
  on_every_target([] {
    for (const std::size_t classes : sizes)
      for (const kind how : all_kinds) {
        check<float, float>(how, 3, classes, layout::padded_rows, 2, 1.5e-7L);
        check<double, double>(how, 2, classes, layout::padded_rows, 1, 1e-15L);
        check<bfloat16, bfloat16>(how, 2, classes, layout::compact, 1, 1.5e-7L);
      }
  });
}

TEST_CASE("mixing: one to sixteen teachers, every type of output") {
  for (const kind how : all_kinds)
    for (const std::size_t count : {1u, 2u, 5u, 16u}) {
      check<float, float>(how, count, 37, layout::compact, 4, 1.5e-7L);
      check<float16, float>(how, count, 37, layout::compact, 4, 1.5e-7L);
      check<float, double>(how, count, 37, layout::compact, 4, 1e-15L);
      check<double, float>(how, count, 37, layout::compact, 4, 6e-8L);
      check<float, float16>(how, count, 37, layout::compact, 4, 1.5e-7L);
    }
}

TEST_CASE("mixing: every layout") {
  for (const kind how : all_kinds)
    for (const layout memory : {layout::compact, layout::padded_rows, layout::column_major,
                                layout::padded_columns, layout::every_third, layout::reversed_rows}) {
      check<float, float>(how, 3, 37, memory, 2, 1.5e-7L);
      check<bfloat16, float>(how, 3, 37, memory, 2, 1.5e-7L);
      check<double, double>(how, 3, 37, memory, 2, 1e-15L);
    }
}

TEST_CASE("mixing: a large vocabulary") {
  for (const kind how : all_kinds) check<float, float>(how, 2, 50257, layout::compact, 1, 1.5e-7L);
}

TEST_CASE("mixing: divergences from the mean") {
  on_every_target([] {
    for (const std::size_t classes : sizes) {
      check_divergences<float>(3, classes, 2e-5L, 1e-9L);
      check_divergences<double>(2, classes, 1e-12L, 1e-15L);
    }
  });
  check_divergences<float>(16, 1000, 2e-5L, 1e-9L);
}

// Where the second teacher's probabilities are far below float's smallest number, the logarithm is still
// right.
TEST_CASE("mixing: what no probability could hold") {
  std::vector<float> a = {0, -300, -400}, b = {0, -310, -390}, out(3);
  mean_of_probabilities{}({matrix_view(a.data(), 1, 3), matrix_view(b.data(), 1, 3)},
                          matrix_view(out.data(), 1, 3));
  CHECK(out[0] == 0);
  CHECK(out[1] == Approx(-300 - std::log(2.0) + std::log1p(std::exp(-10.0))).epsilon(1e-6));
  CHECK(out[2] == Approx(-390 - std::log(2.0) + std::log1p(std::exp(-10.0))).epsilon(1e-6));
}

TEST_CASE("mixing: numbers at the ends of float") {
  std::vector<float> a = {3e38f, -3e38f, 1e38f}, b = {-3e38f, 3e38f, 3e38f}, out(3);
  for (const kind how : all_kinds)
    for (const double temperature : {1e-30, 1.0, 1e38}) {
      mix(how, {matrix_view(a.data(), 1, 3), matrix_view(b.data(), 1, 3)}, matrix_view(out.data(), 1, 3),
          temperature);
      const teacher_oracle::row expected =
          teacher_oracle::mix(how, {{a.begin(), a.end()}, {b.begin(), b.end()}}, {1, 1}, temperature);
      for (std::size_t c = 0; c < 3; ++c) {
        INFO("kind " << static_cast<int>(how) << ", temperature " << temperature << ", class " << c);
        const auto rounded = static_cast<float>(expected[c]);
        CHECK(near(out[c], rounded, 1e-6L, how == kind::logits ? 1e32L : 1e-6L));
      }
    }
}

}  // namespace mixing_oracle_test
