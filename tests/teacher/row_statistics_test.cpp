// Every statistic of a row against its definition: sizes, targets, types, layouts; special values and masks.
#include "support/block_executor.hpp"
#include "teacher/statistics_cases.hpp"

namespace row_statistics_test {

using namespace distill;
using namespace statistics_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 5;

template <class T>
void check_matrix(std::size_t classes, layout how, double temperature, double deviation,
                  const allowed_error& e) {
  const guarded_matrix<T> logits(rows, normal_logits(rows * classes, classes + 1, deviation), how, 1);
  const std::vector<std::int32_t> labels = labels_of(rows, classes);
  entries got(rows);
  measure_rows(logits.view(), got.all(), {.temperature = temperature, .labels = labels});
  for (std::size_t row = 0; row < rows; ++row)
    check_row<T>(row_of(logits, row), got, row, static_cast<std::size_t>(labels[row]), temperature, e);
  CHECK(logits.is_intact());
}

}  // namespace

TEST_CASE("every target and size, all element types") {
  on_every_target([] {
    for (const std::size_t classes : sizes) {
      check_matrix<float>(classes, layout::padded_rows, 1, 3, single);
      check_matrix<double>(classes, layout::padded_rows, 2, 3, twofold);
      check_matrix<bfloat16>(classes, layout::compact, 3, 3, single);
      check_matrix<float16>(classes, layout::compact, 0.5, 3, single);
    }
  });
}

TEST_CASE("every layout") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows}) {
    check_matrix<float>(37, how, 2, 3, single);
    check_matrix<double>(37, how, 2, 3, twofold);
    check_matrix<bfloat16>(37, how, 2, 3, single);
  }
}

TEST_CASE("a large vocabulary") {
  check_matrix<float>(50257, layout::compact, 1, 3, single);
  check_matrix<double>(50257, layout::compact, 1, 3, twofold);
}

// What is left beside a sure class keeps its digits: 1 - p and the entropy are around 1e-8 and below here.
TEST_CASE("sure rows") {
  for (const double peak : {10.0, 20.0, 40.0, 80.0}) {
    std::vector<double> z = normal_logits(300, 3, 1);
    z[17] = peak;
    const guarded_matrix<float> logits(1, z);
    entries got(1);
    const std::vector<std::int32_t> label = {17};
    measure_rows(logits.view(), got.all(), {.labels = label});
    check_row<float>(row_of(logits, 0), got, 0, 17, 1, {1e-5L, 1e-6L});
  }
}

TEST_CASE("only what is asked for is written") {
  const guarded_matrix<float> logits(3, normal_logits(30, 5));
  entries all(3);
  const std::vector<std::int32_t> labels = {0, 1, 2};
  measure_rows(logits.view(), all.all(), {.labels = labels});
  std::vector<double> one(3);
  measure_rows(logits.view(), {.entropy = one});
  CHECK(one == all.entropy);
  measure_rows(logits.view(), {.deviation = one});
  CHECK(one == all.deviation);
  measure_rows(logits.view(), {.length = one});
  CHECK(one == all.length);
  std::vector<std::int64_t> classes(3);
  measure_rows(logits.view(), {.largest_class = classes});
  CHECK(classes == all.classes);
}

TEST_CASE("masked classes, ties and constant rows") {
  std::vector<float> z = {1, -INFINITY, 3, 3, 2, 2, 2, 2};
  entries got(2);
  const std::vector<std::int32_t> labels = {1, 3};
  measure_rows(matrix_view(z.data(), 2, 4), got.all(), {.labels = labels});
  const teacher_oracle::row first = {1, -INFINITY, 3, 3};
  CHECK(got.classes == std::vector<std::int64_t>{2, 0});
  CHECK(near(got.entropy[0], teacher_oracle::entropy(first), 1e-6L));
  CHECK(got.label_log[0] == -infinity);
  CHECK(got.other[0] == 1);
  CHECK(near(got.mean[0], 7 / 3.0L, 1e-6L));
  CHECK(near(got.deviation[0], teacher_oracle::deviation(first), 1e-6L));
  CHECK(got.length[0] == infinity);
  CHECK(got.entropy[1] == Approx(std::log(4.0)));
  CHECK(got.deviation[1] == 0);
  CHECK(got.other[1] == 0.75);
}

TEST_CASE("rows without a distribution are NaN, their neighbours are not touched") {
  on_every_target([] {
    for (const std::size_t classes : {3u, 40u}) {
      std::vector<float> z(5 * classes, 1.0f);
      z[1] = NAN;
      z[classes + 2] = INFINITY;
      for (std::size_t c = 0; c < classes; ++c) z[2 * classes + c] = -INFINITY;
      z[4 * classes - 1] = NAN;
      entries got(5);
      const std::vector<std::int32_t> labels(5, 0);
      measure_rows(matrix_view(z.data(), 5, classes), got.all(), {.labels = labels});
      for (std::size_t row = 0; row < 4; ++row) {
        for (const auto* values : {&got.log_sum_exp, &got.entropy, &got.largest, &got.label_log, &got.other,
                                   &got.mean, &got.deviation, &got.length})
          CHECK(std::isnan((*values)[row]));
        CHECK(got.classes[row] == -1);
      }
      CHECK(got.entropy[4] == Approx(std::log(static_cast<double>(classes))));
      CHECK(got.classes[4] == 0);
    }
  });
}

TEST_CASE("numbers at the ends of float") {
  std::vector<float> z = {3e38f, -3e38f, 3e38f, 0,     1e-30f, 2e-30f, -1e-30f, 0,
                          1e25f, -1e25f, 1e25f, 1e25f, 0,      0,      0,       0};
  const guarded_matrix<float> logits(4, std::vector<double>(z.begin(), z.end()));
  for (const double temperature : {1e-30, 1.0, 1e30}) {
    entries got(4);
    const std::vector<std::int32_t> labels(4, 2);
    measure_rows(logits.view(), got.all(), {.temperature = temperature, .labels = labels});
    for (std::size_t row = 0; row < 4; ++row) {
      const teacher_oracle::row exact = row_of(logits, row);
      CAPTURE(row, temperature);
      CHECK(near(got.entropy[row], teacher_oracle::entropy(exact, temperature), 2e-6L, 1e-30L));
      CHECK(near(got.other[row], teacher_oracle::others(exact, 2, temperature), 2e-6L, 1e-30L));
      CHECK(near(got.deviation[row], teacher_oracle::deviation(exact), 2e-6L));
      CHECK(near(got.length[row], teacher_oracle::length(exact), 2e-6L));
    }
  }
}

TEST_CASE("masked rows are never read") {
  std::vector<float> z(3 * 4, NAN);
  for (std::size_t c = 4; c < 8; ++c) z[c] = static_cast<float>(c);
  const std::vector<float> mask = {0, -1, 0};
  const std::vector<std::int32_t> labels = {99, 2, -3};
  entries got(3);
  measure_rows(matrix_view(z.data(), 3, 4), got.all(), {.labels = labels, .row_weights = mask});
  for (const std::size_t row : {0u, 2u}) {
    CHECK(got.entropy[row] == 0);
    CHECK(got.mean[row] == 0);
    CHECK(got.other[row] == 0);
    CHECK(got.classes[row] == -1);
  }
  CHECK(got.entropy[1] > 0);
  CHECK(got.classes[1] == 3);
}

TEST_CASE("an ignored label has entries of 0") {
  std::vector<float> z = {1, 2, 3, 4};
  std::vector<std::int32_t> labels = {1, 5};
  entries got(2);
  measure_rows(matrix_view(z.data(), 2, 2), got.all(), {.labels = labels, .ignore_index = 5});
  CHECK(got.label_log[0] < 0);
  CHECK(got.label_log[1] == 0);
  CHECK(got.other[1] == 0);
  CHECK(got.entropy[1] > 0);
}

TEST_CASE("any executor gives the same bits") {
  for (const std::size_t classes : {3u, 70u})
    for (const layout how : {layout::compact, layout::column_major}) {
      const guarded_matrix<bfloat16> logits(53, normal_logits(53 * classes, classes), how);
      const std::vector<std::int32_t> labels = labels_of(53, classes);
      entries serial(53);
      measure_rows(logits.view(), serial.all(), {.labels = labels});
      for (const std::size_t workers : {1u, 3u, 7u}) {
        support::block_executor executor(workers, 5);
        workspace memory;
        entries cut(53);
        measure_rows(logits.view(), cut.all(),
                     {.labels = labels, .executor = executor, .workspace = &memory});
        CHECK(cut == serial);
        CHECK(executor.calls() == 1);
        CHECK(memory.size() > 0);
      }
    }
}

}  // namespace row_statistics_test
