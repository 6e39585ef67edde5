// What measuring, weighing and heating rows refuse, in which words, and that nothing is written then.
#include <distill/teacher/gradient_norm.hpp>
#include <distill/teacher/row_statistics.hpp>
#include <distill/teacher/row_temperatures.hpp>
#include <distill/teacher/row_weights.hpp>

#include "teacher/teacher_cases.hpp"

namespace row_errors_test {

using namespace distill;
using namespace teacher_cases;

namespace {

struct arguments {
  std::vector<float> s = std::vector<float>(12, 1), t = std::vector<float>(12, 2),
                     w = std::vector<float>(3, 7), other = std::vector<float>(3, 7);
  std::vector<double> entry = std::vector<double>(3, 7);
  std::vector<std::int32_t> labels = {0, 1, 2}, wrong = {0, 4, 1};
  matrix_view<const float> student{s.data(), 3, 4}, teacher{t.data(), 3, 4}, narrow{t.data(), 3, 3},
      short_one{t.data(), 2, 4}, absent{nullptr, 3, 4};
  matrix_view<const float> empty{s.data(), 0, 4};

  template <class Error = parameter_error, class F>
  void refused(const std::string& message, F call) {
    CHECK_THROWS_AS(call(), Error);
    CHECK_THROWS_WITH(call(), message);
    CHECK(w == std::vector<float>(3, 7));
    CHECK(other == std::vector<float>(3, 7));
    CHECK(entry == std::vector<double>(3, 7));
    CHECK(s == std::vector<float>(12, 1));
  }
};

}  // namespace

TEST_CASE("measure_rows refuses") {
  arguments x;
  x.refused("measure_rows: temperature must be finite and > 0, got 0",
            [&] { measure_rows(x.student, {.entropy = x.entry}, {.temperature = 0}); });
  x.refused<shape_error>("measure_rows: logits has 0 rows",
                         [&] { measure_rows(x.empty, {.entropy = x.entry}); });
  x.refused<layout_error>("measure_rows: logits has no memory",
                          [&] { measure_rows(x.absent, {.entropy = x.entry}); });
  x.refused<shape_error>("measure_rows: entropy has 3 entries, logits has 2 rows",
                         [&] { measure_rows(x.short_one, {.entropy = x.entry}); });
  x.refused<shape_error>("measure_rows: labels has 0 entries, logits has 3 rows",
                         [&] { measure_rows(x.student, {.other_probability = x.entry}); });
  x.refused<data_error>("measure_rows: labels[1] is 4, must be in [0, 4) or ignore_index -100", [&] {
    measure_rows(x.student, {.label_log_probability = x.entry}, {.labels = x.wrong});
  });
  x.refused<layout_error>("measure_rows: mean has a stride of 0, so its elements are not distinct", [&] {
    measure_rows(x.student, {.mean = vector_view<double>(x.entry.data(), 3, 0)});
  });
  std::vector<double> logits(12, 1);
  CHECK_THROWS_WITH(measure_rows(matrix_view(logits.data(), 3, 4), {.length = {logits.data(), 3}}),
                    "measure_rows: length overlaps logits");
}

TEST_CASE("compare_rows refuses") {
  arguments x;
  x.refused("compare_rows: temperature must be finite and > 0, got nan",
            [&] { compare_rows(x.student, x.teacher, {.divergence = x.entry}, {.temperature = NAN}); });
  x.refused<shape_error>("compare_rows: teacher has 3 classes, student has 4",
                         [&] { compare_rows(x.student, x.narrow, {.divergence = x.entry}); });
  x.refused<shape_error>("compare_rows: teacher has 2 rows, student has 3",
                         [&] { compare_rows(x.student, x.short_one, {.divergence = x.entry}); });
  x.refused<layout_error>("compare_rows: teacher has no memory",
                          [&] { compare_rows(x.student, x.absent, {.cosine_distance = x.entry}); });
  const std::vector<float> mask = {1, 1};
  x.refused<shape_error>("compare_rows: row_weights has 2 entries, student has 3 rows", [&] {
    compare_rows(x.student, x.teacher, {.divergence = x.entry}, {.row_weights = mask});
  });
}

TEST_CASE("weights of rows refuse") {
  arguments x;
  const auto& [s, t] = std::pair{x.student, x.teacher};
  x.refused("entropy_weight: temperature must be finite and > 0, got -1",
            [&x, s = s] { entropy_weight{.temperature = -1}(s, x.w); });
  x.refused("focal_weight: gamma must be finite and >= 0, got -1",
            [&x, s = s] { focal_weight{.labels = x.labels, .gamma = -1}(s, x.w); });
  x.refused("focal_divergence_weight: beta must be finite and >= 0, got -1",
            [&x, s = s, t = t] { focal_divergence_weight{.beta = -1}(s, t, x.w); });
  x.refused("right_label_weight: wrong must be finite and >= 0, got -2",
            [&x, s = s] { right_label_weight{.labels = x.labels, .wrong = -2}(s, x.w); });
  x.refused("right_label_weight: right must be finite and >= 0, got inf",
            [&x, s = s] { right_label_weight{.labels = x.labels, .right = infinity}(s, x.w); });
  x.refused("bd_kd_weights: factor must be finite and >= 1, got 0.5",
            [&x, s = s, t = t] { bd_kd_weights{.factor = 0.5}(s, t, x.w, x.other); });
  x.refused<layout_error>("bd_kd_weights: reverse overlaps forward",
                          [&x, s = s, t = t] { bd_kd_weights{}(s, t, x.w, x.w); });
  x.refused<layout_error>("bd_kd_weights: reverse overlaps row_weights, which both need; use forward",
                          [&x, s = s, t = t] { bd_kd_weights{}(s, t, x.other, x.w, {.row_weights = x.w}); });
  x.refused<data_error>("focal_weight: labels[1] is 4, must be in [0, 4) or ignore_index -100",
                        [&x, s = s] { focal_weight{.labels = x.wrong}(s, x.w); });
  x.refused<shape_error>("label_probability_weight: labels has 0 entries, logits has 3 rows",
                         [&x, s = s] { label_probability_weight{}(s, x.w); });
  x.refused<shape_error>("ea_kd_weight: teacher has 3 classes, student has 4",
                         [&x, s = s] { ea_kd_weight{}(s, x.narrow, x.w); });
  x.refused<shape_error>("entropy_weight: weights has 0 entries, logits has 3 rows",
                         [&, s = s] { entropy_weight{}(s, vector_view<float>()); });
  x.refused<shape_error>("entropy_weight: weights has 3 entries, logits has 2 rows",
                         [&x] { entropy_weight{}(x.short_one, x.w); });
  x.refused<layout_error>("entropy_weight: weights overlaps logits",
                          [&x, s = s] { entropy_weight{}(s, vector_view<float>(x.s.data(), 3)); });
  x.refused<layout_error>("ea_kd_weight: weights overlaps teacher",
                          [&x, s = s, t = t] { ea_kd_weight{}(s, t, vector_view<float>(x.t.data(), 3)); });
  std::vector<float> mask = {1, 1, 1, 1};
  x.refused<layout_error>(
      "entropy_weight: weights overlaps row_weights without being exactly the same elements", [&mask, s = s] {
        entropy_weight{}(s, vector_view<float>(mask.data() + 1, 3), {.row_weights = {mask.data(), 3}});
      });
}

TEST_CASE("temperatures of rows refuse") {
  arguments x;
  x.refused("cwsm_temperatures: temperature must be finite and > 0, got 0",
            [&] { cwsm_temperatures{.temperature = 0}(x.student, x.w); });
  x.refused("cwsm_temperatures: beta must be finite, got inf",
            [&] { cwsm_temperatures{.beta = infinity}(x.student, x.w); });
  x.refused("entropy_temperatures: lowest must be finite and >= 1e-30, got 0",
            [&] { entropy_temperatures{.lowest = 0}(x.student, x.w); });
  x.refused("spread_temperatures: highest must be >= lowest and <= 1e30, got 1",
            [&] { spread_temperatures{.lowest = 2, .highest = 1}(x.student, x.w); });
  x.refused("flsw_temperatures: gamma must be finite and >= 0, got -1",
            [&] { flsw_temperatures{.gamma = -1}(x.student, x.teacher, x.w); });
  x.refused<shape_error>("flsw_temperatures: teacher has 3 classes, student has 4",
                         [&] { flsw_temperatures{}(x.student, x.narrow, x.w); });
  x.refused<shape_error>("cwsm_temperatures: temperatures has 0 entries, logits has 3 rows",
                         [&] { cwsm_temperatures{}(x.student, vector_view<float>()); });
}

TEST_CASE("gradient_norm refuses") {
  arguments x;
  x.refused<layout_error>("gradient_norm: gradient has no memory", [&] { gradient_norm(x.absent); });
  x.refused<shape_error>("gradient_norm: gradient has 0 rows", [&] { gradient_norm(x.empty); });
}

}  // namespace row_errors_test
