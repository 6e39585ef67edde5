// Rows of few classes, and of strided ones, which go one to a lane: whole tiles, parts of tiles, and rows in
// them that do not count or whose numbers the compute type cannot hold.
#include <sys/mman.h>
#include <unistd.h>

#include "support/block_executor.hpp"
#include "teacher/mixing_cases.hpp"
#include "teacher/statistics_cases.hpp"

namespace short_rows_test {

using namespace distill;
using namespace mixing_cases;
using namespace statistics_cases;
using support::guarded_matrix;
using support::layout;

namespace {

// Two whole tiles and a part of one, at most 16 rows to a tile.
constexpr std::size_t rows = 37;

template <class T>
void check_measures(std::size_t classes, layout how, double temperature, const allowed_error& e) {
  const guarded_matrix<T> logits(rows, normal_logits(rows * classes, classes), how, 1);
  const std::vector<std::int32_t> labels = labels_of(rows, classes);
  entries got(rows);
  measure_rows(logits.view(), got.all(), {.temperature = temperature, .labels = labels});
  for (std::size_t row = 0; row < rows; ++row)
    check_row<T>(row_of(logits, row), got, row, static_cast<std::size_t>(labels[row]), temperature, e);
}

template <class Student, class Teacher>
void check_comparison(std::size_t classes, layout how, double apart, long double relative,
                      long double of_distance) {
  std::vector<double> t = normal_logits(rows * classes, classes),
                      s = normal_logits(rows * classes, 77, apart);
  for (std::size_t i = 0; i < s.size(); ++i) s[i] += t[i];
  const guarded_matrix<Student> student(rows, s, how, 1);
  const guarded_matrix<Teacher> teacher(rows, t, how, 2);
  std::vector<double> divergence(rows), distance(rows);
  compare_rows(student.view(), teacher.view(), {divergence, distance}, {.temperature = 2});
  for (std::size_t row = 0; row < rows; ++row) {
    const teacher_oracle::row z = row_of(student, row), v = row_of(teacher, row);
    INFO("row " << row << " of " << classes << " classes, " << name_of(how) << ", " << apart << " apart");
    const long double expected =
        teacher_oracle::divergence(teacher_oracle::log_softmax(v, 2), teacher_oracle::log_softmax(z, 2));
    CHECK(near(divergence[row], expected, relative, classes == 1 ? 0 : 1e-18L));
    const long double angle = teacher_oracle::cosine_distance(z, v);
    CHECK(near(distance[row], angle, 0, of_distance * std::sqrt(angle) + of_distance * of_distance));
  }
}

// Weights of rows; `chosen` of the three teachers, or all. Errors relative to the largest logit.
template <class T>
void check_mixing(std::size_t classes, layout how, const std::vector<std::int32_t>& chosen,
                  long double unit) {
  const auto teachers = random_teachers<T>(3, rows, classes, how);
  const std::size_t columns = chosen.empty() ? 3 : 2;
  std::vector<double> weights(rows * columns);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<double>(i * 5 % 7) / 2;
  guarded_matrix<T> out(rows, classes, how);
  mixing_options options{.weights_of_rows = matrix_view(weights.data(), rows, columns)};
  if (!chosen.empty()) options.chosen = {chosen.data(), rows, 2};
  for (const kind which : all_kinds) {
    mix(which, list_of(teachers), out.view(), 2, options);
    for (std::size_t row = 0; row < rows; ++row) {
      teacher_oracle::row w(3, 0);
      for (std::size_t i = 0; i < columns; ++i) {
        const std::int32_t teacher = chosen.empty() ? static_cast<std::int32_t>(i) : chosen[2 * row + i];
        if (teacher >= 0) w[static_cast<std::size_t>(teacher)] += weights[row * columns + i];
      }
      const teacher_oracle::row expected = teacher_oracle::mix(which, rows_of(teachers, row), w, 2);
      bool is_near = true;
      for (std::size_t c = 0; c < classes; ++c)
        is_near = is_near && near(out.at(row, c), expected[c], unit, 20 * unit);
      INFO("kind " << static_cast<int>(which) << ", row " << row << " of " << classes << ", "
                   << name_of(how));
      CHECK(is_near);
    }
  }
}

std::vector<std::int32_t> choice() {
  std::vector<std::int32_t> chosen(2 * rows);
  for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<std::int32_t>(i * i % 4) - 1;
  return chosen;
}

}  // namespace

TEST_CASE("short rows: every target, 1 to 64 classes") {
  on_every_target([] {
    for (std::size_t classes = 1; classes <= 64; classes += classes < 20 ? 1 : 11) {
      check_measures<float>(classes, layout::compact, 2, single);
      check_measures<double>(classes, layout::compact, 2, twofold);
      check_measures<bfloat16>(classes, layout::padded_rows, 1, single);
      for (const double apart : {0.01, 5.0}) {
        check_comparison<float, float>(classes, layout::compact, apart, 1e-5L, 3e-7L);
        check_comparison<double, float>(classes, layout::compact, apart, 1e-11L, 1e-15L);
      }
      check_mixing<float>(classes, layout::compact, {}, 5e-7L);
      check_mixing<double>(classes, layout::compact, choice(), 2e-15L);
    }
  });
}

TEST_CASE("short rows: every layout, and strided rows of more classes") {
  for (const layout how : {layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows})
    for (const std::size_t classes : {3u, 10u, 129u, 257u, 1030u}) {
      check_measures<float>(classes, how, 2, single);
      check_measures<float16>(classes, how, 2, single);
      check_comparison<float, bfloat16>(classes, how, 1, 1e-5L, 3e-7L);
      check_mixing<float>(classes, how, {}, 5e-7L);
      check_mixing<float>(classes, how, choice(), 5e-7L);
    }
}

// A row's bits do not depend on its neighbours: masked, without a distribution, or beyond the range of float.
TEST_CASE("short rows: a tile's rows do not disturb each other") {
  on_every_target([] {
    const float inf = INFINITY, bad[] = {NAN, inf, 3e38f, -inf};
    for (const std::size_t classes : {1u, 4u, 10u, 33u}) {
      guarded_matrix<float> z(rows, normal_logits(rows * classes, 1)),
          t(rows, normal_logits(rows * classes, 2));
      std::vector<float> mask(rows, 1);
      const std::vector<std::int32_t> labels = labels_of(rows, classes);
      const auto evaluate = [&](entries& got, std::vector<double>& pair, guarded_matrix<float>& out,
                                kind how) {
        measure_rows(z.view(), got.all(), {.labels = labels, .row_weights = mask});
        compare_rows(z.view(), t.view(), {.divergence = pair}, {.row_weights = mask});
        mix(how, {z.view(), t.view()}, out.view(), 1, {.row_weights = mask});
      };
      for (const kind how : all_kinds) {
        z.set(normal_logits(rows * classes, 1));
        mask.assign(rows, 1);
        entries clean(rows), got(rows);
        std::vector<double> clean_pair(rows), pair(rows);
        guarded_matrix<float> clean_out(rows, classes), out(rows, classes);
        evaluate(clean, clean_pair, clean_out, how);
        for (std::size_t row = 0; row < rows; row += 3) {
          for (std::size_t c = 0; c < classes; ++c) z(row, c) = bad[row % 4];
          mask[row] = row % 2 == 0 ? 0.0f : 1.0f;
        }
        evaluate(got, pair, out, how);
        for (std::size_t row = 0; row < rows; ++row) {
          INFO("row " << row << " of " << classes << ", kind " << static_cast<int>(how));
          if (row % 3 == 0) {
            CHECK((row % 2 == 0 ? got.entropy[row] == 0 : !(got.log_sum_exp[row] < 1e30)));
            continue;
          }
          CHECK(got.entropy[row] == clean.entropy[row]);
          CHECK(got.other[row] == clean.other[row]);
          CHECK(got.classes[row] == clean.classes[row]);
          CHECK(pair[row] == clean_pair[row]);
          for (std::size_t c = 0; c < classes; ++c) CHECK(out.at(row, c) == clean_out.at(row, c));
        }
      }
    }
  });
}

// A row to a page, and no access to some of the pages.
struct rows_on_pages {
  std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  float* data = static_cast<float*>(
      mmap(nullptr, rows* page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  rows_on_pages() = default;
  rows_on_pages(const rows_on_pages&) = delete;
  ~rows_on_pages() { munmap(data, rows * page); }
  void forbid(std::size_t row) { mprotect(data + row * page / sizeof(float), page, PROT_NONE); }
  matrix_view<const float> view(std::size_t classes) const {
    return {data, rows, classes, static_cast<std::ptrdiff_t>(page / sizeof(float)), 1};
  }
};

TEST_CASE("short rows: an entry asked for alone is the same, also where a row has none") {
  on_every_target([] {
    std::vector<float> z = {1, 2,        3, -INFINITY, -INFINITY, -INFINITY, NAN, 1,
                            2, INFINITY, 1, 2,         3e38f,     -3e38f,    1};
    const std::size_t count = z.size() / 3;
    const matrix_view logits(z.data(), count, 3);
    const std::vector<std::int32_t> labels(count, 1);
    entries all(count);
    measure_rows(logits, all.all(), {.temperature = 1e10, .labels = labels});
    std::vector<double> alone(count);
    const auto check = [&](const char* name, vector_view<double> row_statistics::*entry,
                           const std::vector<double>& expected) {
      row_statistics one;
      one.*entry = alone;
      measure_rows(logits, one, {.temperature = 1e10, .labels = labels});
      INFO(name);
      for (std::size_t row = 0; row < count; ++row) CHECK(near(alone[row], expected[row], 1e-6L));
    };
    check("log_sum_exp", &row_statistics::log_sum_exp, all.log_sum_exp);
    check("entropy", &row_statistics::entropy, all.entropy);
    check("largest", &row_statistics::largest_probability, all.largest);
    check("label", &row_statistics::label_log_probability, all.label_log);
    check("other", &row_statistics::other_probability, all.other);
    std::vector<std::int64_t> classes(count);
    measure_rows(logits, {.largest_class = classes}, {.temperature = 1e10});
    CHECK(classes == all.classes);
  });
}

TEST_CASE("short rows: distances that float cannot hold, over a temperature") {
  on_every_target([] {
    const std::vector<float> z = {3e38f, -3e38f, 1}, t = {0, 1, 2};
    std::vector<float> out(3);
    const matrix_view one(z.data(), 1, 3);
    for (const kind how : {kind::probabilities, kind::log_probabilities}) {
      mix(how, {one, one}, matrix_view(out.data(), 1, 3), 1e20);
      CHECK(out[1] == Approx(-6e18));
    }
    std::vector<double> divergence(1);
    compare_rows(one, matrix_view(t.data(), 1, 3), {.divergence = divergence}, {.temperature = 1e20});
    CHECK(divergence[0] == Approx(3e18));
  });
}

TEST_CASE("short rows: what does not count is never read") {
  rows_on_pages masked, of_weight_0;
  std::vector<float> mask(rows, 1), weights(2 * rows, 1);
  for (std::size_t row = 0; row < rows; row += 2 + row % 3) {
    mask[row] = 0;
    masked.forbid(row);
  }
  for (std::size_t row = 1; row < rows; row += 3) {
    weights[2 * row + 1] = 0;
    of_weight_0.forbid(row);
  }
  entries got(rows);
  const std::vector<std::int32_t> labels = labels_of(rows, 10);
  on_every_target([&] {
    measure_rows(masked.view(10), got.all(), {.labels = labels, .row_weights = mask});
    std::vector<double> divergence(rows), distance(rows);
    compare_rows(masked.view(10), masked.view(10), {divergence, distance}, {.row_weights = mask});
    guarded_matrix<float> out(rows, 10);
    for (const kind how : all_kinds) {
      mix(how, {masked.view(10)}, out.view(), 1, {.row_weights = mask});
      mix(how, {out.view(), of_weight_0.view(10)}, out.view(), 1,
          {.weights_of_rows = matrix_view(weights.data(), rows, 2)});
    }
  });
  CHECK(got.entropy[1] == Approx(std::log(10.0)));
}

TEST_CASE("short rows: divergences from a mean with weights of rows") {
  on_every_target([] {
    for (const std::size_t classes : {1u, 3u, 10u, 40u}) {
      const auto teachers = random_teachers<float>(3, rows, classes, layout::compact);
      std::vector<double> weights(3 * rows);
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<double>(i * 5 % 7) / 2;
      std::vector<float> got(3 * rows, 7);
      divergences_from_mean{.temperature = 2}(list_of(teachers), matrix_view(got.data(), rows, 3),
                                              {.weights_of_rows = matrix_view(weights.data(), rows, 3)});
      for (std::size_t row = 0; row < rows; ++row) {
        const std::vector<teacher_oracle::row> z = rows_of(teachers, row);
        const teacher_oracle::row w(weights.begin() + static_cast<std::ptrdiff_t>(3 * row),
                                    weights.begin() + static_cast<std::ptrdiff_t>(3 * row + 3));
        const teacher_oracle::row mean = teacher_oracle::mix(kind::probabilities, z, w, 2);
        for (std::size_t i = 0; i < 3; ++i) {
          INFO("row " << row << " of " << classes << ", teacher " << i);
          if (w[i] == 0)
            CHECK(got[3 * row + i] == 0);
          else
            CHECK(near(got[3 * row + i],
                       teacher_oracle::divergence(teacher_oracle::log_softmax(z[i], 2), mean), 2e-5L, 1e-9L));
        }
      }
    }
  });
}

TEST_CASE("short rows: any executor gives the same bits") {
  const auto teachers = random_teachers<float>(3, rows, 10, layout::compact);
  const std::vector<std::int32_t> labels = labels_of(rows, 10), chosen = choice();
  entries serial(rows), cut(rows);
  std::vector<double> divergence(rows), other(rows);
  guarded_matrix<float> out(rows, 10);
  measure_rows(teachers[0].view(), serial.all(), {.labels = labels});
  compare_rows(teachers[0].view(), teachers[1].view(), {.divergence = divergence});
  for (const std::size_t workers : {1u, 3u, 7u}) {
    support::block_executor executor(workers, 5);
    measure_rows(teachers[0].view(), cut.all(), {.labels = labels, .executor = executor});
    compare_rows(teachers[0].view(), teachers[1].view(), {.divergence = other}, {.executor = executor});
    CHECK(cut == serial);
    CHECK(other == divergence);
    for (const kind how : all_kinds) {
      mix(how, list_of(teachers), out.view(), 2, {.chosen = {chosen.data(), rows, 2}});
      const auto bits = out.bits();
      mix(how, list_of(teachers), out.view(), 2, {.chosen = {chosen.data(), rows, 2}, .executor = executor});
      CHECK(out.bits() == bits);
    }
  }
}

TEST_CASE("short rows: logits without gaps, mixed as one long row") {
  on_every_target([] {
    for (const std::size_t classes : {1u, 3u, 10u, 100u}) {
      const auto teachers = random_teachers<float>(3, rows, classes, layout::compact);
      const auto apart = random_teachers<float>(3, rows, classes, layout::padded_rows);
      const std::vector<double> weights = {1, 2, 3};
      std::vector<double> of_rows;
      for (std::size_t row = 0; row < rows; ++row)
        of_rows.insert(of_rows.end(), weights.begin(), weights.end());
      guarded_matrix<float> out(rows, classes), other(rows, classes), cut(rows, classes);
      mean_of_logits{}(list_of(teachers), out.view(), {.weights = weights});
      support::block_executor executor(3, 5);
      mean_of_logits{}(list_of(teachers), cut.view(), {.weights = weights, .executor = executor});
      CHECK(cut.bits() == out.bits());
      CHECK(out.is_intact());
      mean_of_logits{}(list_of(teachers), other.view(),
                       {.weights_of_rows = matrix_view(of_rows.data(), rows, 3)});
      CHECK(other.bits() == out.bits());
      mean_of_logits{}(list_of(apart), other.view(), {.weights = weights});
      CHECK(other.bits() == out.bits());
    }
  });
}

TEST_CASE("short rows: the output may be one of the teachers") {
  for (const kind how : all_kinds)
    for (const layout memory : {layout::compact, layout::column_major}) {
      auto teachers = random_teachers<float>(3, rows, 10, memory);
      guarded_matrix<float> output(rows, 10, memory);
      teachers[1](5, 3) = NAN;
      mix(how, list_of(teachers), output.view(), 2);
      mix(how, list_of(teachers), teachers[1].view(), 2);
      for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t c = 0; c < 10; ++c) CHECK(near(teachers[1].at(row, c), output.at(row, c), 0));
    }
}

}  // namespace short_rows_test
