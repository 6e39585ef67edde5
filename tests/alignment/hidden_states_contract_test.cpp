// Losses on hidden states: options, special values, executors, what is refused and in which words.
#include <limits>

#include "alignment/hidden_states_cases.hpp"
#include "support/block_executor.hpp"

using namespace distill;
using namespace support;
using namespace hidden_cases;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Row 1 is masked and holds NaN; weights as given.
struct weighted {
  logit_pair pair = independent_logits(5, 30, 1);
  std::vector<float> weights = {1, 0, 0.5f, 2, -1};
  std::vector<long double> exact = {1, 0, 0.5L, 2, -1};
  weighted() {
    for (std::size_t j = 0; j < 30; ++j) pair.student[30 + j] = pair.teacher[30 + j] = kNaN;
  }
};

}  // namespace

TEST_CASE("weights, masks and row values") {
  const weighted w;
  const guarded_matrix<float> student(5, w.pair.student), teacher(5, w.pair.teacher);
  for (const hidden_case& loss : all_cases()) {
    guarded_matrix<float> gradient(5, 30);
    std::vector<double> values(5, 7);
    const double value = loss(student.view(), teacher.view(), gradient.view(),
                              {.row_weights = w.weights, .row_values = values});
    const auto expected =
        feature_oracle::hidden_states(loss.kind, loss.delta, student.exact(), teacher.exact(), w.exact);
    INFO(loss.name);
    CHECK(relative(value, expected.value) < 1e-5);
    CHECK(relative(gradient.exact(), expected.gradient) < 1e-6);
    for (std::size_t row = 0; row < 5; ++row)
      CHECK(values[row] == Approx(static_cast<double>(expected.row_values[row])).epsilon(1e-6));
    CHECK(values[1] == 0);
    CHECK(gradient.at(1, 3) == 0);
  }
}

TEST_CASE("reductions and denominators") {
  const logit_pair pair = independent_logits(5, 30, 1);
  const guarded_matrix<float> student(5, pair.student), teacher(5, pair.teacher);
  std::vector<double> values(5);
  for (const hidden_case& loss : all_cases()) {
    INFO(loss.name);
    const auto with = [&](row_options rows) {
      guarded_matrix<float> gradient(5, 30);
      const double value = loss(student.view(), teacher.view(), gradient.view(), rows);
      return std::pair{value, gradient.at(2, 7)};
    };
    const std::pair<double, double> whole = with({.reduction = reduction::sum});
    const auto check = [&](row_options rows, double divisor) {
      const auto [value, entry] = with(rows);
      CHECK(value == Approx(whole.first / divisor).epsilon(1e-6));
      CHECK(entry == Approx(whole.second / divisor).epsilon(1e-5));
    };
    check({}, 5);
    check({.denominator = 12.5}, 12.5);
    check({.reduction = reduction::none, .row_values = values}, 1);
    if (loss.sums_over_width()) check({.reduction = reduction::mean}, 150);
  }
}

TEST_CASE("the gradient is added where asked, and kept where masked") {
  const logit_pair pair = independent_logits(4, 50, 1);
  std::vector<float> weights = {1, 1, 0, 1};
  for (const layout how : {layout::compact, layout::column_major})
    for (const hidden_case& loss : all_cases()) {
      const guarded_matrix<float> student(4, pair.student, how), teacher(4, pair.teacher, how);
      guarded_matrix<float> once(4, 50, how), added(4, 50, how);
      added.fill(0.25);
      (void)loss(student.view(), teacher.view(), once.view(), {.row_weights = weights});
      (void)loss(student.view(), teacher.view(), added.view(), {.row_weights = weights, .accumulate = true});
      INFO(loss.name);
      for (std::size_t row = 0; row < 4; ++row)
        for (std::size_t j = 0; j < 50; ++j)
          CHECK(std::abs(added.at(row, j) - once.at(row, j) - 0.25) < 1e-6);
    }
}

TEST_CASE("equal rows give exactly 0") {
  const logit_pair pair = independent_logits(4, 61, 1);
  const guarded_matrix<float> both(4, pair.student);
  for (const hidden_case& loss : all_cases()) {
    guarded_matrix<float> gradient(4, 61);
    INFO(loss.name);
    CHECK(loss(both.view(), both.view(), gradient.view()) == 0);
    for (std::size_t j = 0; j < 61; ++j) CHECK(gradient.at(2, j) == 0);
  }
}

TEST_CASE("rows of zeros, NaN and infinity") {
  std::vector<double> zeros(8, 0), ones(8, 1);
  const guarded_matrix<float> zero(1, zeros), one(1, ones);
  for (const hidden_case& loss : {all_cases()[3], all_cases()[4]}) {
    guarded_matrix<float> gradient(1, 8);
    INFO(loss.name);
    CHECK(loss(zero.view(), one.view(), gradient.view()) == 1);
    CHECK(gradient.at(0, 2) == 0);
    CHECK(loss(one.view(), zero.view(), gradient.view()) == 1);
    CHECK(gradient.at(0, 2) == 0);
    CHECK(loss(zero.view(), zero.view(), gradient.view()) == 0);
  }
  for (const double poison : {kNaN, std::numeric_limits<double>::infinity()})
    for (const hidden_case& loss : all_cases()) {
      auto spoiled = ones;
      spoiled[3] = poison;
      const guarded_matrix<float> bad(1, spoiled);
      guarded_matrix<float> gradient(1, 8);
      INFO(loss.name << " " << poison);
      const double value = loss(bad.view(), one.view(), gradient.view());
      CHECK(!std::isfinite(value));
      const bool is_direction =
          loss.kind == feature_oracle::hidden::cosine || loss.kind == feature_oracle::hidden::normalized_mse;
      if (is_direction || std::isnan(poison)) {
        CHECK(std::isnan(value));
        CHECK(std::isnan(gradient.at(0, 3)));
      }
    }
  const hidden_huber huber{.delta = 0.5};
  const guarded_matrix<float> far(1, std::vector<double>{1e30, -std::numeric_limits<double>::infinity()}),
      origin(1, std::vector<double>{0, 0});
  guarded_matrix<float> gradient(1, 2);
  (void)huber(far.view(), origin.view(), gradient.view());
  CHECK(gradient.at(0, 0) == 0.5);
  CHECK(gradient.at(0, 1) == -0.5);
}

TEST_CASE("all rows masked: 0, and a gradient of zeros") {
  const logit_pair pair = independent_logits(3, 9, 1);
  const guarded_matrix<float> student(3, pair.student), teacher(3, pair.teacher);
  const std::vector<float> none(3, 0.0f);
  for (const hidden_case& loss : all_cases()) {
    guarded_matrix<float> gradient(3, 9);
    CHECK(loss(student.view(), teacher.view(), gradient.view(), {.row_weights = none}) == 0);
    for (std::size_t row = 0; row < 3; ++row) CHECK(gradient.at(row, 8) == 0);
  }
}

TEST_CASE("finite differences of losses on hidden states") {
  random_source random(3);
  for (const hidden_case& loss : all_cases()) {
    const logit_pair pair = independent_logits(4, 11, 6, 1);
    guarded_matrix<double> student(4, pair.student);
    const guarded_matrix<double> teacher(4, pair.teacher);
    guarded_matrix<double> gradient(4, 11);
    std::vector<float> weights(4);
    for (float& w : weights) w = static_cast<float>(random.normal());
    const row_options rows{.row_weights = weights};
    (void)loss(student.view(), teacher.view(), gradient.view(), rows);
    INFO(loss.name);
    for (std::size_t i = 0; i < 44; ++i) {
      double& x = student(i / 11, i % 11);
      const double kept = x, step = 1e-5;
      x = kept + step;
      const double above = loss(student.view(), teacher.view(), no_gradient, rows);
      x = kept - step;
      const double below = loss(student.view(), teacher.view(), no_gradient, rows);
      x = kept;
      CHECK(gradient.at(i / 11, i % 11) == Approx((above - below) / (2 * step)).epsilon(1e-6).margin(1e-8));
    }
  }
}

TEST_CASE("any executor gives the same bits, in a workspace or without") {
  const logit_pair pair = independent_logits(53, 70, 1);
  const guarded_matrix<float> student(53, pair.student), teacher(53, pair.teacher);
  for (const hidden_case& loss : all_cases()) {
    guarded_matrix<float> serial(53, 70);
    const double value = loss(student.view(), teacher.view(), serial.view());
    for (const std::size_t workers : {1u, 3u, 7u})
      for (const std::size_t block : {1u, 5u, 100u}) {
        block_executor executor(workers, block);
        workspace kept;
        guarded_matrix<float> gradient(53, 70);
        CHECK(loss(student.view(), teacher.view(), gradient.view(),
                   {.executor = executor, .workspace = &kept}) == value);
        CHECK(gradient.bits() == serial.bits());
        CHECK(executor.calls() == 1);
        CHECK(kept.size() > 0);
      }
  }
}

TEST_CASE("what losses on hidden states refuse, and that nothing is written then") {
  std::vector<float> s(12, 1), t(12, 2), g(24, 7);
  const matrix_view<const float> student(s.data(), 3, 4), teacher(t.data(), 3, 4);
  const matrix_view<float> gradient(g.data(), 3, 4);
  const auto refuse = [&](const std::string& message, auto f) {
    CHECK_THROWS_WITH(f(), message);
    CHECK(g == std::vector<float>(24, 7));
  };
  refuse(
      "hidden_mse: teacher has 3 columns, student has 4; an adapter takes the student to the teacher's width",
      [&] { hidden_mse{}(student, matrix_view<const float>(t.data(), 3, 3), gradient); });
  refuse("hidden_huber: teacher has 2 rows, student has 3",
         [&] { hidden_huber{}(student, matrix_view<const float>(t.data(), 2, 4), gradient); });
  refuse("hidden_cosine: gradient has 5 columns, student has 4",
         [&] { hidden_cosine{}(student, teacher, matrix_view<float>(g.data(), 3, 5)); });
  refuse("normalized_mse: student has 0 rows",
         [&] { normalized_mse{}(matrix_view<const float>(s.data(), 0, 4), teacher, gradient); });
  refuse("hidden_mse: student has 0 columns",
         [&] { hidden_mse{}(matrix_view<const float>(s.data(), 3, 0), teacher, gradient); });
  refuse("hidden_mse: teacher has no memory",
         [&] { hidden_mse{}(student, matrix_view<const float>(nullptr, 3, 4), gradient); });
  for (const double delta : {0.0, -1.0, kNaN})
    CHECK_THROWS_AS(hidden_huber{.delta = delta}(student, teacher, gradient), parameter_error);
  refuse("hidden_huber: delta must be finite and > 0, got 0",
         [&] { hidden_huber{.delta = 0}(student, teacher, gradient); });
  refuse("hidden_cosine: a row has one value, not one for each column; use reduction::batch_mean",
         [&] { hidden_cosine{}(student, teacher, gradient, {.reduction = reduction::mean}); });
  refuse("hidden_mse: reduction::none needs row_values",
         [&] { hidden_mse{}(student, teacher, gradient, {.reduction = reduction::none}); });
  std::vector<double> slopes(3);
  refuse("hidden_mse: has no temperature, so temperature_slopes must be empty",
         [&] { hidden_mse{}(student, teacher, gradient, {.temperature_slopes = slopes}); });
  refuse("hidden_mse: denominator must be finite and > 0, got -1",
         [&] { hidden_mse{}(student, teacher, gradient, {.denominator = -1}); });
  refuse("hidden_mse: row_weights has 2 entries, student has 3 rows", [&] {
    const std::vector<float> two(2, 1.0f);
    hidden_mse{}(student, teacher, gradient, {.row_weights = two});
  });
  refuse("hidden_mse: gradient overlaps student without being exactly the same elements",
         [&] { hidden_mse{}(matrix_view<const float>(g.data() + 1, 3, 4), teacher, gradient); });
  std::vector<double> wide(12);
  refuse("hidden_mse: gradient is float64, student is float32; it must be the same",
         [&] { hidden_mse{}(student, teacher, matrix_view<double>(wide.data(), 3, 4)); });
}

TEST_CASE("the gradient may be the student's own memory") {
  const logit_pair pair = independent_logits(4, 33, 1);
  const guarded_matrix<float> teacher(4, pair.teacher);
  for (const hidden_case& loss : all_cases()) {
    guarded_matrix<float> student(4, pair.student), gradient(4, 33);
    (void)loss(student.view(), teacher.view(), gradient.view());
    (void)loss(student.view(), teacher.view(), student.view());
    CHECK(student.bits() == gradient.bits());
  }
  // Also where the value has to be computed again in double.
  guarded_matrix<float> large(1, std::vector<double>{3e30, 1});
  const guarded_matrix<float> zero(1, std::vector<double>{0, 0});
  CHECK(relative(hidden_mse{}(large.view(), zero.view(), large.view()), 9e60L) < 1e-6);
}
