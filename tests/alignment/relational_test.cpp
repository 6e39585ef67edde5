// Losses on the relations between the rows of a batch, against long double and its central differences.
#include <catch2/catch.hpp>
#include <distill/alignment/gram_mse.hpp>
#include <distill/alignment/linear_cka.hpp>
#include <distill/alignment/relational_options.hpp>
#include <distill/alignment/rkd_angle.hpp>
#include <distill/alignment/rkd_distance.hpp>
#include <distill/alignment/similarity_preserving.hpp>
#include <distill/dispatch.hpp>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <string>
#include <vector>

#include "alignment/feature_oracle.hpp"
#include "alignment/plain_product.hpp"
#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;
using feature_oracle::relational;

namespace {

struct relational_case {
  std::string name;
  relational kind;

  template <class S, class T, class G>
  double operator()(const S& s, const T& t, G gradient, const relational_options& how) const {
    switch (kind) {
      case relational::rkd_distance:
        return rkd_distance{}(s, t, gradient, how);
      case relational::rkd_angle:
        return rkd_angle{}(s, t, gradient, how);
      case relational::similarity_preserving:
        return similarity_preserving{}(s, t, gradient, how);
      case relational::gram_rows:
        return gram_mse{}(s, t, gradient, how);
      case relational::gram_columns:
        return gram_mse{.over = gram_axis::columns}(s, t, gradient, how);
      default:
        return linear_cka{}(s, t, gradient, how);
    }
  }
  bool needs_equal_widths() const { return kind == relational::gram_columns; }
};

const std::vector<relational_case> relations = {{"rkd_distance", relational::rkd_distance},
                                                {"rkd_angle", relational::rkd_angle},
                                                {"similarity_preserving", relational::similarity_preserving},
                                                {"gram_mse", relational::gram_rows},
                                                {"gram_mse", relational::gram_columns},
                                                {"linear_cka", relational::linear_cka}};

std::vector<double> normal_numbers(std::size_t count, std::uint64_t seed, double shift = 0) {
  random_source random(seed);
  std::vector<double> result(count);
  for (double& x : result) x = shift + random.normal();
  return result;
}

template <class S, class T, class G>
void check_against_oracle(const relational_case& loss, std::size_t rows, std::size_t width, layout how,
                          double allowed, double shift = 0) {
  const std::size_t teacher_width = loss.needs_equal_widths() ? width : width + 3;
  const guarded_matrix<S> student(rows, normal_numbers(rows * width, rows, shift), how, 1);
  const guarded_matrix<T> teacher(rows, normal_numbers(rows * teacher_width, 99), how);
  guarded_matrix<G> gradient(rows, width, how, 1);
  const double value = loss(student.view(), teacher.view(), gradient.view(), {.product = product});
  const long double expected = feature_oracle::relational_value(loss.kind, student.exact(), teacher.exact());
  const oracle::matrix slope =
      feature_oracle::relational_gradient(loss.kind, student.exact(), teacher.exact());
  INFO(loss.name << " " << rows << " x " << width << ", " << name_of(how));
  CHECK(relative(value, expected) < allowed);
  CHECK(relative(gradient.exact(), slope) < allowed + 1e-9 + rounding_of(element_traits<G>::type));
  CHECK(gradient.is_intact());
  CHECK(loss(student.view(), teacher.view(), no_gradient, {.product = product}) == value);
}

}  // namespace

TEST_CASE("values and gradients on every target") {
  const restored_target restore;
  for (const std::string& target : available_targets()) {
    force_target(target);
    INFO("target " << target);
    for (const relational_case& loss : relations) {
      for (const std::size_t rows : {3u, 5u, 8u, 16u, 17u, 19u}) {
        check_against_oracle<float, float, float>(loss, rows, 7, layout::padded_rows, 2e-5);
        check_against_oracle<double, double, double>(loss, rows, 4, layout::compact, 1e-11);
      }
    }
  }
}

TEST_CASE("layouts and element types") {
  for (const relational_case& loss : relations)
    for (const layout how : {layout::compact, layout::padded_rows, layout::column_major,
                             layout::padded_columns, layout::every_third, layout::reversed_rows}) {
      check_against_oracle<float, float, float>(loss, 6, 9, how, 2e-5);
      check_against_oracle<bfloat16, float16, bfloat16>(loss, 6, 9, how, 2e-5);
      check_against_oracle<float16, float, float>(loss, 6, 9, how, 2e-5);
      check_against_oracle<float, double, float>(loss, 6, 9, how, 1e-6);
    }
}

TEST_CASE("more rows than a tile") {
  for (const relational_case& loss : relations)
    if (loss.kind != relational::rkd_angle)
      check_against_oracle<float, float, float>(loss, 70, 3, layout::compact, 3e-5);
}

TEST_CASE("a common shift of the rows costs no digits") {
  for (const relational_case& loss : {relations[0], relations[1], relations[5]})
    check_against_oracle<float, float, float>(loss, 9, 12, layout::compact, 5e-5, 100);
}

TEST_CASE("pairs of near rows keep their digits") {
  std::vector<double> x = normal_numbers(8 * 10, 4);
  for (std::size_t j = 0; j < 10; ++j) x[10 + j] = x[j] + 1e-4 * x[20 + j];
  const guarded_matrix<float> student(8, x), teacher(8, normal_numbers(80, 5));
  guarded_matrix<float> gradient(8, 10);
  const double value = rkd_distance{}(student.view(), teacher.view(), gradient.view(), {.product = product});
  const auto slope =
      feature_oracle::relational_gradient(relational::rkd_distance, student.exact(), teacher.exact());
  CHECK(relative(value, feature_oracle::relational_value(relational::rkd_distance, student.exact(),
                                                         teacher.exact())) < 1e-5);
  CHECK(relative(gradient.exact(), slope) < 1e-3);
}

TEST_CASE("equal batches give exactly 0") {
  for (const relational_case& loss : relations) {
    const guarded_matrix<float> both(9, normal_numbers(9 * 12, 3));
    guarded_matrix<float> gradient(9, 12);
    INFO(loss.name);
    CHECK(loss(both.view(), both.view(), gradient.view(), {.product = product}) == 0);
    for (std::size_t i = 0; i < 9; ++i)
      for (std::size_t j = 0; j < 12; ++j) CHECK(gradient.at(i, j) == 0);
  }
}

TEST_CASE("coincident rows, and batches of one and two rows") {
  std::vector<double> same(4 * 5);
  for (std::size_t i = 0; i < same.size(); ++i) same[i] = 0.1 * static_cast<double>(i % 5) + 0.3;
  const guarded_matrix<float> point(4, same), spread(4, normal_numbers(20, 8));
  for (const relational_case& loss : {relations[0], relations[1], relations[5]}) {
    guarded_matrix<float> gradient(4, 5);
    INFO(loss.name);
    const double value = loss(point.view(), spread.view(), gradient.view(), {.product = product});
    CHECK(std::isfinite(value));
    if (loss.kind == relational::linear_cka) CHECK(value == 1);
    for (std::size_t j = 0; j < 5; ++j) CHECK(gradient.at(2, j) == 0);
    CHECK(loss(point.view(), point.view(), gradient.view(), {.product = product}) == 0);
  }
  // Two rows of three coincide: they push neither each other nor apart from the same place.
  std::vector<double> pair = normal_numbers(3 * 5, 1);
  for (std::size_t j = 0; j < 5; ++j) pair[5 + j] = pair[j];
  const guarded_matrix<float> two(3, pair), three(3, normal_numbers(15, 2));
  for (const relational_case& loss : {relations[0], relations[1]}) {
    guarded_matrix<float> gradient(3, 5);
    INFO(loss.name);
    CHECK(std::isfinite(loss(two.view(), three.view(), gradient.view(), {.product = product})));
    for (std::size_t j = 0; j < 5; ++j) CHECK(std::isfinite(gradient.at(0, j)));
  }
  for (const std::size_t rows : {1u, 2u})
    for (const relational_case& loss : relations) {
      const guarded_matrix<float> s(rows, normal_numbers(rows * 5, 1)), t(rows, normal_numbers(rows * 5, 2));
      guarded_matrix<float> gradient(rows, 5);
      INFO(loss.name << " " << rows);
      const double value = loss(s.view(), t.view(), gradient.view(), {.product = product});
      CHECK(std::isfinite(value));
      CHECK(std::isfinite(gradient.at(0, 0)));
      if (loss.kind == relational::rkd_angle || (rows == 1 && loss.kind == relational::rkd_distance))
        CHECK(value == 0);
    }
}

TEST_CASE("masked rows are left out and never read") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> s = normal_numbers(6 * 5, 1), t = normal_numbers(6 * 5, 2);
  const std::vector<double> whole_s(s), whole_t(t);
  for (std::size_t j = 0; j < 5; ++j) s[10 + j] = t[10 + j] = nan;
  const std::vector<float> mask = {1, 1, 0, 1, 1, 0.5f}, none(6, 0.0f);
  std::vector<double> few_s, few_t;
  for (std::size_t i = 0; i < 30; ++i)
    if (i / 5 != 2) few_s.push_back(s[i]), few_t.push_back(t[i]);
  for (const relational_case& loss : relations) {
    const guarded_matrix<float> student(6, s), teacher(6, t), short_student(5, few_s),
        short_teacher(5, few_t);
    guarded_matrix<float> gradient(6, 5), expected(5, 5);
    INFO(loss.name);
    const double value =
        loss(student.view(), teacher.view(), gradient.view(), {.product = product, .row_mask = mask});
    CHECK(value == loss(short_student.view(), short_teacher.view(), expected.view(), {.product = product}));
    for (std::size_t row = 0; row < 6; ++row)
      for (std::size_t j = 0; j < 5; ++j)
        CHECK(gradient.at(row, j) == (row == 2 ? 0 : expected.at(row > 2 ? row - 1 : row, j)));
    CHECK(std::isnan(loss(student.view(), teacher.view(), no_gradient, {.product = product})));
    gradient.fill(7);
    CHECK(loss(student.view(), teacher.view(), gradient.view(), {.product = product, .row_mask = none}) == 0);
    CHECK(gradient.at(3, 3) == 0);
  }
}

TEST_CASE("weight, accumulation, workspace") {
  for (const relational_case& loss : relations) {
    const guarded_matrix<float> s(6, normal_numbers(30, 1)), t(6, normal_numbers(30, 2));
    guarded_matrix<float> once(6, 5), added(6, 5), strided(6, 5, layout::every_third);
    workspace kept;
    INFO(loss.name);
    const double value = loss(s.view(), t.view(), once.view(), {.product = product});
    added.fill(1);
    strided.fill(1);
    const relational_options thrice{.product = product, .weight = 3, .accumulate = true, .workspace = &kept};
    CHECK(loss(s.view(), t.view(), added.view(), thrice) == Approx(3 * value));
    (void)loss(s.view(), t.view(), strided.view(), thrice);
    for (std::size_t i = 0; i < 6; ++i)
      for (std::size_t j = 0; j < 5; ++j) {
        CHECK(added.at(i, j) == Approx(1 + 3 * once.at(i, j)).margin(2e-6));
        CHECK(strided.at(i, j) == Approx(added.at(i, j)).margin(1e-6));
      }
    const std::size_t size = kept.size();
    CHECK(size > 0);
    (void)loss(s.view(), t.view(), added.view(), thrice);
    CHECK(kept.size() == size);
  }
}

TEST_CASE("any executor gives the same bits of a relation") {
  for (const relational_case& loss : relations) {
    const guarded_matrix<float> s(70, normal_numbers(70 * 9, 1)), t(70, normal_numbers(70 * 9, 2));
    guarded_matrix<float> serial(70, 9);
    const double value = loss(s.view(), t.view(), serial.view(), {.product = product});
    for (const std::size_t workers : {1u, 4u})
      for (const std::size_t block : {1u, 5u}) {
        block_executor executor(workers, block);
        guarded_matrix<float> gradient(70, 9);
        INFO(loss.name);
        CHECK(loss(s.view(), t.view(), gradient.view(), {.product = product, .executor = executor}) == value);
        CHECK(gradient.bits() == serial.bits());
        CHECK(executor.calls() > 0);
      }
  }
}

TEST_CASE("what a relation refuses, and that nothing is written then") {
  std::vector<float> s(12, 1), t(12, 2), g(24, 7);
  const matrix_view<const float> student(s.data(), 3, 4), teacher(t.data(), 3, 4);
  const matrix_view<float> gradient(g.data(), 3, 4);
  const relational_options plain{.product = product};
  const auto refuse = [&](const std::string& message, auto f) {
    CHECK_THROWS_WITH(f(), message);
    CHECK(g == std::vector<float>(24, 7));
  };
  refuse("rkd_distance: teacher has 2 rows, student has 3",
         [&] { rkd_distance{}(student, matrix_view<const float>(t.data(), 2, 4), gradient, plain); });
  refuse("gram_mse: teacher has 3 columns, student has 4", [&] {
    gram_mse{.over = gram_axis::columns}(student, matrix_view<const float>(t.data(), 3, 3), gradient, plain);
  });
  refuse("linear_cka: gradient has 5 columns, student has 4",
         [&] { linear_cka{}(student, teacher, matrix_view<float>(g.data(), 3, 5), plain); });
  refuse("rkd_angle: student has 0 rows",
         [&] { rkd_angle{}(matrix_view<const float>(s.data(), 0, 4), teacher, gradient, plain); });
  refuse("similarity_preserving: teacher has 0 columns", [&] {
    similarity_preserving{}(student, matrix_view<const float>(t.data(), 3, 0), gradient, plain);
  });
  refuse("similarity_preserving: teacher has no memory",
         [&] { similarity_preserving{}(student, matrix_view<const float>(nullptr, 3, 4), gradient, plain); });
  refuse("rkd_distance: weight must be finite, got inf", [&] {
    rkd_distance{}(student, teacher, gradient,
                   {.product = product, .weight = std::numeric_limits<double>::infinity()});
  });
  refuse("rkd_distance: row_mask has 2 entries, student has 3 rows", [&] {
    const std::vector<float> two(2, 1.0f);
    rkd_distance{}(student, teacher, gradient, {.product = product, .row_mask = two});
  });
  refuse("rkd_distance: gradient overlaps student without being exactly the same elements",
         [&] { rkd_distance{}(matrix_view<const float>(g.data() + 1, 3, 4), teacher, gradient, plain); });
}
