// Weights, chosen teachers, masks, what each means, what is never read; special values; executors.
#include "support/block_executor.hpp"
#include "teacher/mixing_cases.hpp"

namespace mixing_options_test {

using namespace distill;
using namespace mixing_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 4, classes = 11;

struct three_teachers {
  std::vector<guarded_matrix<float>> teachers = random_teachers<float>(3, rows, classes, layout::compact);
  teacher_list list = list_of(teachers);
  guarded_matrix<float> output{rows, classes};

  std::vector<unsigned char> mixed(kind how, const mixing_options& options) {
    mix(how, list, output.view(), 2, options);
    return output.bits();
  }
};

bool is_all_nan(const guarded_matrix<float>& m, std::size_t row) {
  for (std::size_t c = 0; c < m.classes(); ++c)
    if (!std::isnan(m.at(row, c))) return false;
  return true;
}

}  // namespace

TEST_CASE("weights are divided by their sum") {
  three_teachers t;
  for (const kind how : all_kinds) {
    const std::vector<double> small = {0.5, 0.25, 0.25}, large = {8, 4, 4}, other = {1, 2, 1};
    CHECK(t.mixed(how, {.weights = small}) == t.mixed(how, {.weights = large}));
    CHECK(t.mixed(how, {.weights = small}) != t.mixed(how, {.weights = other}));
    const std::vector<double> alike = {1, 1, 1};
    CHECK(t.mixed(how, {.weights = alike}) == t.mixed(how, {}));
  }
}

TEST_CASE("weights of rows, of any element type and layout") {
  three_teachers t;
  const std::vector<double> w = {1, 1, 2, 0, 1, 0, 0.5, 0.25, 0.25, 3, 0, 1};
  const guarded_matrix<float> floats(rows, w, layout::column_major);
  const guarded_matrix<double> doubles(rows, w, layout::every_third);
  for (const kind how : all_kinds) {
    const auto got = t.mixed(how, {.weights_of_rows = floats.view()});
    CHECK(t.mixed(how, {.weights_of_rows = doubles.view()}) == got);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto expected = teacher_oracle::mix(how, rows_of(t.teachers, row), row_of(doubles, row), 2);
      for (std::size_t c = 0; c < classes; ++c) CHECK(near(t.output.at(row, c), expected[c], 1e-6L, 2e-6L));
    }
  }
}

TEST_CASE("a teacher of weight 0 is never read") {
  three_teachers t;
  t.teachers[1].fill(NAN);
  const std::vector<double> fixed = {1, 0, 1};
  const std::vector<float> by_row = {1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1};
  for (const kind how : all_kinds) {
    const auto got = t.mixed(how, {.weights = fixed});
    CHECK(t.mixed(how, {.weights_of_rows = matrix_view(by_row.data(), rows, 3)}) == got);
    for (std::size_t row = 0; row < rows; ++row) CHECK(!std::isnan(t.output.at(row, 0)));
  }
}

TEST_CASE("chosen teachers are the only ones read") {
  three_teachers t;
  const std::vector<std::int32_t> chosen = {0, 2, 2, -1, 1, 1, -1, -1};
  const std::vector<float> weights = {1, 3, 5, 9, 1, 1, 1, 1};
  const std::vector<float> dense = {1, 0, 3, 0, 0, 5, 0, 2, 0, 0, 0, 0},
                           even = {1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0};
  for (std::size_t c = 0; c < classes; ++c)
    t.teachers[1](0, c) = t.teachers[0](1, c) = t.teachers[2](2, c) = NAN;
  for (const kind how : all_kinds) {
    const matrix_view<const std::int32_t> ids(chosen.data(), rows, 2);
    const auto routed =
        t.mixed(how, {.weights_of_rows = matrix_view(weights.data(), rows, 2), .chosen = ids});
    CHECK(is_all_nan(t.output, 3));
    for (std::size_t row = 0; row < 3; ++row) CHECK(!std::isnan(t.output.at(row, 0)));
    CHECK(t.mixed(how, {.weights_of_rows = matrix_view(dense.data(), rows, 3)}) == routed);
    const auto alike = t.mixed(how, {.chosen = ids});
    CHECK(alike != routed);
    CHECK(t.mixed(how, {.weights_of_rows = matrix_view(even.data(), rows, 3)}) == alike);
  }
  // Fixed weights hold for the teachers that were chosen.
  const std::vector<double> fixed = {1, 7, 3};
  const std::vector<std::int32_t> pairs = {0, 2, 0, 2, 0, 2, 0, 2};
  const std::vector<double> same = {1, 0, 3};
  t.teachers[0].set(normal_logits(rows * classes, 5));
  t.teachers[2].set(normal_logits(rows * classes, 6));
  CHECK(t.mixed(kind::probabilities, {.weights = fixed, .chosen = {pairs.data(), rows, 2}}) ==
        t.mixed(kind::probabilities, {.weights = same}));
}

TEST_CASE("no choice at all is not every teacher") {
  three_teachers t;
  t.mixed(kind::probabilities, {.chosen = {nullptr, rows, 0}});
  for (std::size_t row = 0; row < rows; ++row) CHECK(is_all_nan(t.output, row));
}

TEST_CASE("masked rows are never read, nor are their weights") {
  three_teachers t;
  for (guarded_matrix<float>& teacher : t.teachers)
    for (std::size_t c = 0; c < classes; ++c) teacher(1, c) = NAN;
  const std::vector<float> mask = {1, 0, 2, 1}, weights = {1, 1, 1, NAN, -1, 1, 1, 1, 1, 1, 1, 1};
  for (const kind how : all_kinds) {
    t.mixed(how, {.weights_of_rows = matrix_view(weights.data(), rows, 3), .row_weights = mask});
    CHECK(is_all_nan(t.output, 1));
    CHECK(!is_all_nan(t.output, 2));
  }
}

TEST_CASE("mixing: special values") {
  on_every_target([] {
    const float inf = INFINITY;
    std::vector<float> a = {1, -inf, 2, 1, NAN, 2, 1, inf, 2, -inf, -inf, -inf, -inf, 1, 2};
    std::vector<float> b = {1, -inf, -inf, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 1, -inf};
    guarded_matrix<float> out(5, 3);
    const teacher_list teachers{matrix_view(a.data(), 5, 3), matrix_view(b.data(), 5, 3)};
    for (const kind how : all_kinds) {
      mix(how, teachers, out.view(), 1);
      INFO("kind " << static_cast<int>(how));
      CHECK(out.at(0, 1) == -infinity);
      CHECK((how == kind::probabilities ? std::isfinite(out.at(0, 2)) : out.at(0, 2) == -infinity));
      CHECK(std::isnan(out.at(1, 1)));
      CHECK(is_all_nan(out, 1) == (how != kind::logits));
      CHECK(is_all_nan(out, 2) == (how != kind::logits));
      CHECK(is_all_nan(out, 3) == (how != kind::logits));
      CHECK(out.at(4, 0) == (how == kind::probabilities ? out.at(4, 0) : -infinity));
      CHECK(std::isfinite(out.at(4, 1)));
    }
    std::vector<double> divergences(10);
    divergences_from_mean{}(teachers, matrix_view(divergences.data(), 5, 2));
    CHECK(divergences[0] >= 0);
    CHECK(std::isfinite(divergences[1]));
    for (const std::size_t i : {2u, 3u, 4u, 5u, 6u, 7u}) CHECK(std::isnan(divergences[i]));
    CHECK(std::isfinite(divergences[8] + divergences[9]));
  });
}

TEST_CASE("a teacher of weight 0 is at divergence 0") {
  three_teachers t;
  t.teachers[1].fill(NAN);
  const std::vector<double> weights = {1, 0, 1};
  std::vector<float> divergences(rows * 3, 7);
  divergences_from_mean{}(t.list, matrix_view(divergences.data(), rows, 3), {.weights = weights});
  for (std::size_t row = 0; row < rows; ++row) {
    CHECK(divergences[3 * row] > 0);
    CHECK(divergences[3 * row + 1] == 0);
  }
}

TEST_CASE("mixing: any executor gives the same bits") {
  for (const std::size_t n : {3u, 70u})
    for (const layout how : {layout::compact, layout::column_major}) {
      const auto teachers = random_teachers<bfloat16>(3, 53, n, how);
      guarded_matrix<bfloat16> output(53, n, how);
      for (const kind which : all_kinds) {
        mix(which, list_of(teachers), output.view(), 2);
        const auto serial = output.bits();
        for (const std::size_t workers : {1u, 3u, 7u}) {
          support::block_executor executor(workers, 5);
          workspace memory;
          output.fill(0);
          mix(which, list_of(teachers), output.view(), 2, {.executor = executor, .workspace = &memory});
          CHECK(output.bits() == serial);
          CHECK(executor.calls() == 1);
          CHECK(memory.size() > 0);
        }
      }
    }
}

TEST_CASE("the output may be one of the teachers") {
  for (const kind how : all_kinds)
    for (const layout memory : {layout::compact, layout::column_major}) {
      auto teachers = random_teachers<float>(3, rows, 70, memory);
      guarded_matrix<float> output(rows, 70, memory);
      mix(how, list_of(teachers), output.view(), 2);
      mix(how, list_of(teachers), teachers[1].view(), 2);
      CHECK(teachers[1].bits() == output.bits());
    }
}

}  // namespace mixing_options_test
