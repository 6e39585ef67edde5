// Weights of rows against their definitions; options, masks, special values.
#include <distill/loss/forward_kl.hpp>
#include <distill/teacher/row_weights.hpp>

#include "support/block_executor.hpp"
#include "teacher/teacher_cases.hpp"

namespace row_weights_test {

using namespace distill;
using namespace teacher_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 7;

// Every policy as a function of one row of student and teacher.
struct policy {
  const char* name;
  bool uses_labels;
  void (*write)(const guarded_matrix<float>&, const guarded_matrix<float>&, label_view, vector_view<float>,
                const row_weight_options&);
  long double (*expected)(const teacher_oracle::row& z, const teacher_oracle::row& v, std::size_t label);
};

long double log_classes(const teacher_oracle::row& z) {
  return z.size() > 1 ? std::log(static_cast<long double>(z.size())) : 1;
}

#define WRITES                                                                                           \
  [](const guarded_matrix<float>& s, const guarded_matrix<float>& t, label_view y, vector_view<float> w, \
     const row_weight_options& o)
#define EXPECTS [](const teacher_oracle::row& z, const teacher_oracle::row& v, std::size_t y) -> long double

const policy policies[] = {
    {"entropy", false, WRITES{(void)s, (void)y, entropy_weight{.temperature = 2}(t.view(), w, o);
}  // namespace
, EXPECTS {
  (void)z, (void)y;
  return teacher_oracle::entropy(v, 2) / log_classes(v);
}
}  // namespace row_weights_test
, {"certainty", false,
   WRITES{(void)s, (void)y, entropy_weight{.temperature = 2, .prefer_sure = true}(t.view(), w, o);
}
, EXPECTS {
  (void)z, (void)y;
  return 1 - teacher_oracle::entropy(v, 2) / log_classes(v);
}
}
, {"ea_kd", false, WRITES{(void)y, ea_kd_weight{}(s.view(), t.view(), w, o);
}
, EXPECTS {
  (void)y;
  const long double h = teacher_oracle::entropy(v, 3);
  return (h + h * teacher_oracle::entropy(z, 3) / log_classes(v)) / 2;
}
}
, {"label probability", true,
   WRITES{(void)s, label_probability_weight{.labels = y, .temperature = 3}(t.view(), w, o);
}
, EXPECTS {
  (void)z;
  return std::exp(teacher_oracle::log_softmax(v, 3)[y]);
}
}
, {"right label", true,
   WRITES{(void)s, right_label_weight{.labels = y, .right = 2, .wrong = 0.5}(t.view(), w, o);
}
, EXPECTS {
  (void)z;
  std::size_t first = 0;
  for (std::size_t c = 0; c < v.size(); ++c)
    if (v[c] > v[first]) first = c;
  return first == y ? 2 : 0.5L;
}
}
, {"focal", true, WRITES{(void)t, focal_weight{.labels = y, .gamma = 1.5, .temperature = 2}(s.view(), w, o);
}
, EXPECTS {
  (void)v;
  return std::pow(teacher_oracle::others(z, y, 2), 1.5L);
}
}
, {"focal divergence", false,
   WRITES{(void)y,
          focal_divergence_weight{.gamma = 1.5, .beta = 0.3, .temperature = 2}(s.view(), t.view(), w, o);
}
, EXPECTS {
  (void)y;
  const long double kl =
      teacher_oracle::divergence(teacher_oracle::log_softmax(v, 2), teacher_oracle::log_softmax(z, 2));
  return std::pow(-std::expm1(-(kl + 0.3L * teacher_oracle::entropy(v, 2))), 1.5L);
}
}
, {"focal divergence without entropy", false,
   WRITES{(void)y, focal_divergence_weight{}(s.view(), t.view(), w, o);
}
, EXPECTS {
  (void)y;
  const long double kl =
      teacher_oracle::divergence(teacher_oracle::log_softmax(v), teacher_oracle::log_softmax(z));
  return std::pow(-std::expm1(-kl), 2.0L);
}
}
, {"forward balance", false, WRITES{(void)y;
std::vector<float> other(w.size());
bd_kd_weights{.temperature = 2, .factor = 3}(s.view(), t.view(), w, other, o);
}
, EXPECTS {
  (void)y;
  return teacher_oracle::entropy(v, 2) > teacher_oracle::entropy(z, 2) ? 3 : 1;
}
}
, {
  "reverse balance", false, WRITES {
    (void)y;
    std::vector<float> other(w.size());
    bd_kd_weights{.temperature = 2, .factor = 3}(s.view(), t.view(), other, w, o);
  }
  , EXPECTS {
    (void)y;
    return teacher_oracle::entropy(z, 2) > teacher_oracle::entropy(v, 2) ? 3 : 1;
  }
}
}
;

#undef WRITES
#undef EXPECTS

struct batch {
  guarded_matrix<float> student, teacher;
  std::vector<std::int32_t> labels;

  explicit batch(std::size_t classes, std::size_t count = rows, layout how = layout::padded_rows)
      : student(count, normal_logits(count * classes, classes, 2), how, 1),
        teacher(count, normal_logits(count * classes, classes + 7, 3), how, 2),
        labels(count) {
    for (std::size_t i = 0; i < count; ++i) labels[i] = static_cast<std::int32_t>(i * 3 % classes);
  }
  long double expected(const policy& p, std::size_t row) const {
    return p.expected(row_of(student, row), row_of(teacher, row), static_cast<std::size_t>(labels[row]));
  }
};

}  // namespace

TEST_CASE("weights of rows: every target and layout") {
  const auto check = [](std::size_t classes, layout how) {
    const batch x(classes, rows, how);
    for (const policy& p : policies) {
      std::vector<float> w(rows, 7);
      p.write(x.student, x.teacher, x.labels, w, {});
      for (std::size_t row = 0; row < rows; ++row) {
        INFO(p.name << ", " << classes << " classes, row " << row << ", " << name_of(how));
        CHECK(near(w[row], x.expected(p, row), 1e-5L, 2e-7L));
      }
    }
  };
  on_every_target([&] {
    for (const std::size_t classes : {1u, 2u, 10u, 33u}) check(classes, layout::padded_rows);
  });
  for (const layout how : {layout::column_major, layout::every_third, layout::reversed_rows}) check(12, how);
}

TEST_CASE("weights of rows: masks multiply, masked rows are never read") {
  for (const policy& p : policies) {
    batch x(10);
    std::vector<float> mask = {1, 0, 2, -1, 1, 0.5f, 1}, w(rows, 7);
    for (std::size_t c = 0; c < 10; ++c) x.student(1, c) = x.teacher(1, c) = NAN;
    x.labels[1] = 99;
    x.labels[4] = -100;
    p.write(x.student, x.teacher, x.labels, w, {.row_weights = mask});
    INFO(p.name);
    CHECK(w[1] == 0);
    for (const std::size_t row : {0u, 2u, 3u, 5u, 6u})
      CHECK(near(w[row], static_cast<long double>(mask[row]) * x.expected(p, row), 1e-5L, 4e-7L));
    if (p.uses_labels) CHECK(w[4] == 0);
    // In place of the mask.
    if (std::string(p.name) != "reverse balance") {
      p.write(x.student, x.teacher, x.labels, mask, {.row_weights = mask});
      CHECK(mask == w);
    }
  }
}

TEST_CASE("weights of rows: normalised, their mean over the rows that count is 1") {
  for (const policy& p : policies) {
    batch x(10);
    x.labels[4] = -100;
    x.teacher(5, 3) = x.student(5, 3) = NAN;
    std::vector<float> mask = {1, 0, 2, 1, 1, 1, 1}, plain(rows), w(rows);
    p.write(x.student, x.teacher, x.labels, plain, {.row_weights = mask});
    p.write(x.student, x.teacher, x.labels, w, {.row_weights = mask, .normalize = true});
    INFO(p.name);
    double mean = 0, count = 0;
    for (const std::size_t row : {0u, 2u, 3u, 4u, 6u}) {
      if (row == 4 && p.uses_labels) continue;
      mean += static_cast<double>(plain[row]) / static_cast<double>(mask[row]), ++count;
    }
    mean /= count;
    for (const std::size_t row : {0u, 2u, 3u, 6u})
      CHECK(static_cast<double>(w[row]) == Approx(static_cast<double>(plain[row]) / mean).epsilon(1e-6));
    CHECK(std::isnan(w[5]));
    CHECK(w[1] == 0);
  }
}

TEST_CASE("weights of rows: all 0 stay 0 when normalised") {
  std::vector<float> z = {5, 1, 1, 5}, w(2, 7);
  const std::vector<std::int32_t> wrong = {1, 0};
  right_label_weight{.labels = wrong}(matrix_view(z.data(), 2, 2), w, {.normalize = true});
  CHECK(w == std::vector<float>{0, 0});
}

TEST_CASE("weights of rows: ties") {
  std::vector<float> z = {5, 5, 1, 5, 5, 5};
  std::vector<float> w(2);
  const std::vector<std::int32_t> labels = {0, 1};
  right_label_weight{.labels = labels}(matrix_view(z.data(), 2, 3), w);
  CHECK(w == std::vector<float>{1, 0});
  std::vector<float> forward(2), reverse(2);
  bd_kd_weights{}(matrix_view(z.data(), 2, 3), matrix_view(z.data(), 2, 3), forward, reverse);
  CHECK(forward == std::vector<float>{1, 1});
  CHECK(reverse == std::vector<float>{1, 1});
}

TEST_CASE("weights of rows: NaN where there is no distribution, which a loss refuses") {
  for (const policy& p : policies) {
    batch x(10);
    x.teacher(2, 9) = x.student(2, 9) = NAN;
    for (std::size_t c = 0; c < 10; ++c) x.teacher(4, c) = x.student(4, c) = -INFINITY;
    std::vector<float> w(rows);
    p.write(x.student, x.teacher, x.labels, w, {});
    INFO(p.name);
    for (std::size_t row = 0; row < rows; ++row) CHECK(std::isnan(w[row]) == (row == 2 || row == 4));
    CHECK_THROWS_WITH(forward_kl{}(x.student.view(), x.teacher.view(), no_gradient, {.row_weights = w}),
                      "forward_kl: row_weights[2] must be finite, got nan");
  }
}

TEST_CASE("weights of rows: a sure student keeps small focal weights, an infinite divergence weighs 1") {
  std::vector<float> z = {30, 0, 0};
  std::vector<float> w(1);
  const std::vector<std::int32_t> label = {0};
  focal_weight{.labels = label, .gamma = 1}(matrix_view(z.data(), 1, 3), w);
  CHECK(w[0] == Approx(2 * std::exp(-30.0)).epsilon(1e-5));
  focal_weight{.labels = label, .gamma = 0}(matrix_view(z.data(), 1, 3), w);
  CHECK(w[0] == 1);
  std::vector<float> s = {1, -INFINITY}, t = {1, 1};
  focal_divergence_weight{}(matrix_view(s.data(), 1, 2), matrix_view(t.data(), 1, 2), w);
  CHECK(w[0] == 1);
}

TEST_CASE("weights of rows: any executor gives the same bits") {
  const batch x(20, 53, layout::column_major);
  for (const policy& p : policies) {
    std::vector<float> serial(53), cut(53);
    p.write(x.student, x.teacher, x.labels, serial, {.normalize = true});
    support::block_executor executor(3, 5);
    workspace memory;
    p.write(x.student, x.teacher, x.labels, cut,
            {.normalize = true, .executor = executor, .workspace = &memory});
    CHECK(cut == serial);
    CHECK(executor.calls() > 0);
    CHECK(memory.size() > 0);
  }
}

}  // namespace row_weights_test
