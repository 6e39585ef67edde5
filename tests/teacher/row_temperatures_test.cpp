// Temperatures of rows against their definitions; options, masks, special values, what they mean to a
// softmax.
#include <distill/numeric/log_softmax.hpp>
#include <distill/teacher/row_temperatures.hpp>

#include "support/block_executor.hpp"
#include "teacher/teacher_cases.hpp"

namespace row_temperatures_test {

using namespace distill;
using namespace teacher_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 7;

enum class policy { cwsm, flsw, entropy };
constexpr policy with_mean[] = {policy::cwsm, policy::flsw, policy::entropy};

struct numbers {
  double temperature = 4, beta = 1, lowest = 1, highest = 10, gamma = 1;
};

template <class T>
std::vector<float> temperatures_of(policy which, const guarded_matrix<T>& s, const guarded_matrix<T>& t,
                                   const numbers& n, const row_temperature_options& options = {}) {
  std::vector<float> result(s.rows(), 7);
  if (which == policy::cwsm)
    cwsm_temperatures{n.temperature, n.beta, n.lowest, n.highest}(s.view(), result, options);
  if (which == policy::flsw)
    flsw_temperatures{n.temperature, n.beta, n.gamma, n.lowest, n.highest}(s.view(), t.view(), result,
                                                                           options);
  if (which == policy::entropy)
    entropy_temperatures{n.temperature, n.beta, n.lowest, n.highest}(t.view(), result, options);
  return result;
}

long double hardness(policy which, const teacher_oracle::row& z, const teacher_oracle::row& v, double gamma) {
  if (which == policy::cwsm) return 1 / (teacher_oracle::largest_probability(z) + 1e-3L);
  if (which == policy::flsw)
    return std::pow(teacher_oracle::cosine_distance(z, v), static_cast<long double>(gamma));
  return teacher_oracle::entropy(v) / std::log(static_cast<long double>(v.size()));
}

struct batch {
  guarded_matrix<float> student, teacher;
  explicit batch(std::size_t classes, layout how = layout::padded_rows)
      : student(rows, normal_logits(rows * classes, classes, 2), how, 1),
        teacher(rows, normal_logits(rows * classes, classes + 7, 1), how, 2) {}

  std::vector<long double> expected(policy which, const numbers& n,
                                    const std::vector<float>& mask = {}) const {
    std::vector<long double> w(rows), result(rows, n.temperature);
    long double mean = 0, count = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      if (!mask.empty() && mask[row] == 0) continue;
      w[row] = hardness(which, row_of(student, row), row_of(teacher, row), n.gamma);
      mean += w[row], ++count;
    }
    for (std::size_t row = 0; row < rows; ++row)
      if (mask.empty() || mask[row] != 0)
        result[row] = std::min<long double>(
            n.highest, std::max<long double>(n.lowest, n.temperature + n.beta * (mean / count - w[row])));
    return result;
  }
};

}  // namespace

TEST_CASE("temperatures of rows: every target and layout") {
  const auto check = [](std::size_t classes, layout how) {
    const batch x(classes, how);
    for (const policy which : with_mean)
      for (const numbers& n : {numbers{}, numbers{3, -2, 0.1, 100, 2}, numbers{5, 50, 4, 6, 0.5}}) {
        const auto got = temperatures_of(which, x.student, x.teacher, n);
        const auto expected = x.expected(which, n);
        for (std::size_t row = 0; row < rows; ++row) {
          INFO("policy " << static_cast<int>(which) << ", " << classes << " classes, row " << row);
          CHECK(near(got[row], expected[row], 1e-5L));
        }
      }
  };
  on_every_target([&] {
    for (const std::size_t classes : {2u, 10u, 33u}) check(classes, layout::padded_rows);
  });
  for (const layout how : {layout::column_major, layout::every_third, layout::reversed_rows}) check(12, how);
}

TEST_CASE("temperatures of rows: every option matters") {
  const batch x(20);
  for (const policy which : with_mean) {
    const auto plain = temperatures_of(which, x.student, x.teacher, {});
    INFO("policy " << static_cast<int>(which));
    CHECK(plain != temperatures_of(which, x.student, x.teacher, {.temperature = 5}));
    CHECK(plain != temperatures_of(which, x.student, x.teacher, {.beta = 2}));
    CHECK(plain != temperatures_of(which, x.student, x.teacher, {.lowest = 4}));
    CHECK(plain != temperatures_of(which, x.student, x.teacher, {.highest = 4}));
    CHECK((plain != temperatures_of(which, x.student, x.teacher, {.gamma = 2})) == (which == policy::flsw));
  }
}

TEST_CASE("temperatures of rows: masked rows are not read, not in the mean, and have the middle one") {
  for (const policy which : with_mean) {
    batch x(10);
    for (std::size_t c = 0; c < 10; ++c) x.student(1, c) = x.teacher(1, c) = NAN;
    const std::vector<float> mask = {1, 0, 5, -1, 1, 1, 1};
    const auto got = temperatures_of(which, x.student, x.teacher, {}, {.row_weights = mask});
    const auto expected = x.expected(which, {}, mask);
    for (std::size_t row = 0; row < rows; ++row) CHECK(near(got[row], expected[row], 1e-5L));
    CHECK(got[1] == 4);
  }
}

TEST_CASE("temperatures of rows: NaN where there is no distribution, the others as without it") {
  for (const policy which : with_mean) {
    batch x(10);
    const std::vector<float> mask = {1, 1, 0, 1, 1, 1, 1};
    const auto without = temperatures_of(which, x.student, x.teacher, {}, {.row_weights = mask});
    x.student(2, 4) = x.teacher(2, 4) = NAN;
    const auto got = temperatures_of(which, x.student, x.teacher, {});
    for (std::size_t row = 0; row < rows; ++row)
      CHECK((row == 2 ? std::isnan(got[row]) : got[row] == without[row]));
  }
}

TEST_CASE("the spread of logits as a temperature standardises them") {
  on_every_target([] {
    for (const std::size_t classes : {2u, 10u, 40u}) {
      batch x(classes);
      for (const bool unbiased : {false, true}) {
        std::vector<float> t(rows);
        spread_temperatures{.temperature = 3, .unbiased = unbiased}(x.student.view(), t);
        for (std::size_t row = 0; row < rows; ++row) {
          const auto z = row_of(x.student, row);
          CHECK(near(t[row], 3 * teacher_oracle::deviation(z, unbiased), 2e-6L, 1e-7L));
          teacher_oracle::row standard = z;
          for (long double& s : standard)
            s = (s - teacher_oracle::mean(z)) / teacher_oracle::deviation(z, unbiased) / 3;
          const auto a = teacher_oracle::log_softmax(standard), b = teacher_oracle::log_softmax(z, t[row]);
          for (std::size_t c = 0; c < classes; ++c) CHECK(near(a[c], b[c], 0, 1e-5L));
        }
      }
    }
  });
  std::vector<float> z = {1, -INFINITY, 3, 2, 2, 2, NAN, 1, 1, 0, 4, -INFINITY}, t(4);
  const std::vector<float> mask = {1, 1, 1, 0};
  spread_temperatures{.lowest = 0.25, .highest = 1.5}(matrix_view(z.data(), 4, 3), t, {.row_weights = mask});
  CHECK(t[0] == 1.5f);
  CHECK(t[1] == 0.25f);
  CHECK(std::isnan(t[2]));
  CHECK(t[3] == 1.5f);
  spread_temperatures{.unbiased = true}(matrix_view(z.data(), 4, 3), t);
  CHECK(t[0] == Approx(2 * std::sqrt(2.0)));
}

TEST_CASE("temperatures of rows: any executor gives the same bits") {
  const guarded_matrix<bfloat16> s(53, normal_logits(53 * 20, 1), layout::column_major),
      t(53, normal_logits(53 * 20, 2), layout::column_major);
  for (const policy which : with_mean) {
    support::block_executor executor(3, 5);
    workspace memory;
    CHECK(temperatures_of(which, s, t, {}) ==
          temperatures_of(which, s, t, {}, {.executor = executor, .workspace = &memory}));
    CHECK(executor.calls() > 0);
    CHECK(memory.size() > 0);
  }
}

}  // namespace row_temperatures_test
