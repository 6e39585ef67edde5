// The divergence and angle of pairs of rows against their definitions.
#include <distill/teacher/row_statistics.hpp>

#include "support/block_executor.hpp"
#include "teacher/teacher_cases.hpp"

namespace row_comparison_test {

using namespace distill;
using namespace teacher_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 5;

struct entries {
  std::vector<double> divergence, distance;
  explicit entries(std::size_t n) : divergence(n, 7), distance(n, 7) {}
  row_comparison all() { return {divergence, distance}; }
  bool operator==(const entries&) const = default;
};

template <class Student, class Teacher>
void check(std::size_t classes, layout how, double temperature, double apart, long double relative,
           long double of_distance) {
  std::vector<double> t = normal_logits(rows * classes, classes, 3),
                      s = normal_logits(rows * classes, 77, apart);
  for (std::size_t i = 0; i < s.size(); ++i) s[i] += t[i];
  const guarded_matrix<Student> student(rows, s, how, 1);
  const guarded_matrix<Teacher> teacher(rows, t, how, 2);
  entries got(rows);
  compare_rows(student.view(), teacher.view(), got.all(), {.temperature = temperature});
  for (std::size_t row = 0; row < rows; ++row) {
    const teacher_oracle::row z = row_of(student, row), v = row_of(teacher, row);
    INFO("row " << row << " of " << classes << " classes, " << name_of(how) << ", " << apart << " apart");
    const long double expected = teacher_oracle::divergence(teacher_oracle::log_softmax(v, temperature),
                                                            teacher_oracle::log_softmax(z, temperature));
    // The definition itself loses digits where rows are near.
    CHECK(near(got.divergence[row], expected, relative, classes == 1 ? 0 : 1e-18L));
    // The rounding of a difference of rows counts once, where the difference itself counts squared.
    const long double distance = teacher_oracle::cosine_distance(z, v);
    CHECK(
        near(got.distance[row], distance, 0, of_distance * std::sqrt(distance) + of_distance * of_distance));
    CHECK(got.divergence[row] >= 0);
  }
}

}  // namespace

TEST_CASE("pairs of rows: every target and size, near and far") {
  on_every_target([] {
    for (const std::size_t classes : sizes)
      for (const double apart : {0.01, 0.3, 5.0}) {
        check<float, float>(classes, layout::padded_rows, 2, apart, 1e-5L, 3e-7L);
        check<double, double>(classes, layout::padded_rows, 2, apart, 1e-11L, 6e-16L);
        check<bfloat16, float>(classes, layout::compact, 1, apart, 1e-5L, 3e-7L);
        check<float, double>(classes, layout::compact, 1, apart, 1e-11L, 6e-16L);
      }
  });
}

TEST_CASE("pairs of rows: every layout") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows}) {
    check<float, float>(37, how, 2, 0.5, 1e-5L, 3e-7L);
    check<float16, float16>(37, how, 2, 0.5, 1e-5L, 3e-7L);
  }
}

TEST_CASE("pairs of rows: equal rows are at distance 0, exactly") {
  on_every_target([] {
    for (const std::size_t classes : {1u, 4u, 33u, 1000u}) {
      const guarded_matrix<float> z(2, normal_logits(2 * classes, classes));
      entries got(2);
      compare_rows(z.view(), z.view(), got.all(), {.temperature = 3});
      CHECK(got.divergence == std::vector<double>{0, 0});
      CHECK(got.distance == std::vector<double>{0, 0});
    }
  });
}

TEST_CASE("pairs of rows: special values") {
  on_every_target([] {
    const float inf = INFINITY;
    std::vector<float> s = {1, 2, -inf, 1,    2,    0,    1,     NAN, 2, 0, 0, 0,
                            0, 0, 0,    -inf, -inf, -inf, 3e38f, 1,   2, 1, 1, -1};
    std::vector<float> t = {1, 2, 3, 1, 2, -inf, 1, 1, 2, 1, 2, 3, 0, 0, 0, 1, 2, 3, 3e38f, 1, 2, -1, -1, 1};
    entries got(8);
    compare_rows(matrix_view(s.data(), 8, 3), matrix_view(t.data(), 8, 3), got.all());
    CHECK(got.divergence[0] == infinity);  // the student rules out what the teacher does not
    CHECK(got.divergence[1] == Approx(std::log1p(std::exp(-2.0) / (1 + std::exp(-1.0)))).epsilon(1e-5));
    CHECK(std::isnan(got.divergence[2]));
    CHECK(std::isnan(got.divergence[5]));
    CHECK(got.divergence[6] == 0);
    CHECK(got.distance[0] == Approx(0).margin(1e-12));  // -inf left out
    CHECK(got.distance[1] == Approx(0).margin(1e-12));
    CHECK(std::isnan(got.distance[2]));
    CHECK(got.distance[3] == 1);  // a row of zeros
    CHECK(got.distance[4] == 0);  // both
    CHECK(got.distance[6] == 0);
    CHECK(got.distance[7] == Approx(2));
  });
}

TEST_CASE("pairs of rows: the temperature and the mask are used") {
  std::vector<float> s = {1, 2, 3, NAN, NAN, NAN}, t = {3, 2, 1, 1, 2, 3};
  const std::vector<float> mask = {1, 0};
  entries got(2);
  compare_rows(matrix_view(s.data(), 2, 3), matrix_view(t.data(), 2, 3), got.all(), {.row_weights = mask});
  const double at_one = got.divergence[0];
  CHECK(got.divergence[1] == 0);
  CHECK(got.distance[1] == 0);
  compare_rows(matrix_view(s.data(), 2, 3), matrix_view(t.data(), 2, 3), got.all(),
               {.temperature = 4, .row_weights = mask});
  CHECK(got.divergence[0] < at_one / 10);
}

TEST_CASE("pairs of rows: any executor gives the same bits") {
  for (const layout how : {layout::compact, layout::column_major}) {
    const guarded_matrix<bfloat16> s(53, normal_logits(53 * 20, 1), how);
    const guarded_matrix<float> t(53, normal_logits(53 * 20, 2), how);
    entries serial(53);
    compare_rows(s.view(), t.view(), serial.all());
    for (const std::size_t workers : {1u, 3u, 7u}) {
      support::block_executor executor(workers, 5);
      workspace memory;
      entries cut(53);
      compare_rows(s.view(), t.view(), cut.all(), {.executor = executor, .workspace = &memory});
      CHECK(cut == serial);
      CHECK(executor.calls() == 1);
      CHECK(memory.size() > 0);
    }
  }
}

}  // namespace row_comparison_test
