// What mixing refuses, in which words, and that nothing is written then.
#include "teacher/mixing_cases.hpp"

namespace mixing_errors_test {

using namespace distill;
using namespace mixing_cases;

namespace {

struct arguments {
  std::vector<float> a = std::vector<float>(12, 1), b = std::vector<float>(12, 2),
                     out = std::vector<float>(24, 7);
  teacher_list teachers{matrix_view(a.data(), 3, 4), matrix_view(b.data(), 3, 4)};
  matrix_view<float> output() { return {out.data(), 3, 4}; }

  // By Error, in these words, by all three means; their name stands for NAME.
  template <class Error>
  void refused(const std::string& message, const teacher_list& list, matrix_view<float> to,
               const mixing_options& options = {}, double temperature = 1) {
    constexpr const char* names[] = {"mean_of_probabilities", "mean_of_log_probabilities", "mean_of_logits"};
    for (const kind how : all_kinds) {
      if (how == kind::logits && temperature != 1) continue;
      const auto call = [&] { mix(how, list, to, temperature, options); };
      CHECK_THROWS_AS(call(), Error);
      CHECK_THROWS_WITH(call(), names[static_cast<int>(how)] + (": " + message));
    }
    CHECK(out == std::vector<float>(24, 7));
  }
};

}  // namespace

TEST_CASE("mixing refuses teachers that do not fit together") {
  arguments x;
  x.refused<parameter_error>("has no teachers", {}, x.output());
  x.refused<shape_error>("teachers[1] has 2 rows, teachers[0] has 3",
                         {matrix_view(x.a.data(), 3, 4), matrix_view(x.b.data(), 2, 4)}, x.output());
  x.refused<shape_error>("teachers[1] has 3 classes, teachers[0] has 4",
                         {matrix_view(x.a.data(), 3, 4), matrix_view(x.b.data(), 3, 3)}, x.output());
  x.refused<shape_error>("teachers[0] has 0 rows", {matrix_view(x.a.data(), 0, 4)}, x.output());
  x.refused<shape_error>("teachers[0] has 0 classes", {matrix_view(x.a.data(), 3, 0)}, x.output());
  x.refused<layout_error>("teachers[0] has no memory", {matrix_view<float>(nullptr, 3, 4)}, x.output());
  const auto* odd = reinterpret_cast<const float*>(reinterpret_cast<const char*>(x.a.data()) + 1);
  x.refused<layout_error>("teachers[0] is not aligned to its 4-byte elements",
                          {matrix_view<const float>(odd, 2, 4)}, x.output());
}

TEST_CASE("a list holds sixteen teachers") {
  arguments x;
  teacher_list list;
  CHECK(list.empty());
  for (int i = 0; i < 16; ++i) list.add(matrix_view(x.a.data(), 3, 4));
  CHECK(list.size() == 16);
  CHECK_THROWS_AS(list.add(matrix_view(x.a.data(), 3, 4)), shape_error);
  CHECK_THROWS_WITH(list.add(matrix_view(x.a.data(), 3, 4)), "teacher_list: at most 16 teachers can be held");
}

TEST_CASE("mixing refuses temperatures that are not positive") {
  arguments x;
  x.refused<parameter_error>("temperature must be finite and > 0, got 0", x.teachers, x.output(), {}, 0);
  x.refused<parameter_error>("temperature must be finite and > 0, got -1", x.teachers, x.output(), {}, -1);
  x.refused<parameter_error>("temperature must be finite and > 0, got inf", x.teachers, x.output(), {},
                             infinity);
  x.refused<parameter_error>("temperature must be finite and > 0, got nan", x.teachers, x.output(), {}, NAN);
}

TEST_CASE("mixing refuses weights that cannot be used") {
  arguments x;
  const std::vector<double> three = {1, 1, 1}, negative = {1, -1}, none = {0, 0}, nan = {1, NAN},
                            fine = {1, 1};
  x.refused<shape_error>("weights has 3 entries, there are 2 teachers", x.teachers, x.output(),
                         {.weights = three});
  x.refused<parameter_error>("weights[1] must be finite and >= 0, got -1", x.teachers, x.output(),
                             {.weights = negative});
  x.refused<parameter_error>("weights[1] must be finite and >= 0, got nan", x.teachers, x.output(),
                             {.weights = nan});
  x.refused<parameter_error>("all weights are 0", x.teachers, x.output(), {.weights = none});
  std::vector<float> by_row = {1, 1, 1, NAN, 1, 1};
  const matrix_view<const float> w(by_row.data(), 3, 2);
  x.refused<parameter_error>("has both weights and weights_of_rows", x.teachers, x.output(),
                             {.weights = fine, .weights_of_rows = w});
  x.refused<parameter_error>("weights_of_rows(1, 1) must be finite and >= 0, got nan", x.teachers, x.output(),
                             {.weights_of_rows = w});
  x.refused<shape_error>("weights_of_rows has 2 rows, teachers[0] has 3", x.teachers, x.output(),
                         {.weights_of_rows = matrix_view<const float>(by_row.data(), 2, 2)});
  x.refused<shape_error>("weights_of_rows has 1 columns, there are 2 teachers", x.teachers, x.output(),
                         {.weights_of_rows = matrix_view<const float>(by_row.data(), 3, 1)});
  x.refused<layout_error>("weights_of_rows has no memory", x.teachers, x.output(),
                          {.weights_of_rows = matrix_view<const float>(nullptr, 3, 2)});
  const std::vector<float> mask = {1, 1}, infinite = {1, INFINITY, 1};
  x.refused<shape_error>("row_weights has 2 entries, teachers[0] has 3 rows", x.teachers, x.output(),
                         {.row_weights = mask});
  x.refused<parameter_error>("row_weights[1] must be finite, got inf", x.teachers, x.output(),
                             {.row_weights = infinite});
}

TEST_CASE("mixing refuses teachers that are not there") {
  arguments x;
  const std::vector<std::int32_t> ids = {0, 1, 2, -1, 0, 0}, below = {0, -2, 0};
  x.refused<data_error>("chosen(1, 0) is 2, must be in [0, 2) or -1", x.teachers, x.output(),
                        {.chosen = {ids.data(), 3, 2}});
  x.refused<data_error>("chosen(1, 0) is -2, must be in [0, 2) or -1", x.teachers, x.output(),
                        {.chosen = {below.data(), 3, 1}});
  x.refused<shape_error>("chosen has 2 rows, teachers[0] has 3", x.teachers, x.output(),
                         {.chosen = {ids.data(), 2, 1}});
  x.refused<layout_error>("chosen has no memory", x.teachers, x.output(), {.chosen = {nullptr, 3, 1}});
  std::vector<float> by_row(6, 1);
  x.refused<shape_error>("weights_of_rows has 2 columns, chosen has 1", x.teachers, x.output(),
                         {.weights_of_rows = matrix_view<const float>(by_row.data(), 3, 2),
                          .chosen = {below.data() + 2, 3, 1, 0, 1}});
}

TEST_CASE("mixing refuses outputs that cannot be written") {
  arguments x;
  x.refused<shape_error>("output has 2 rows, teachers[0] has 3", x.teachers, {x.out.data(), 2, 4});
  x.refused<shape_error>("output has 5 columns, teachers[0] has 4", x.teachers, {x.out.data(), 3, 5});
  x.refused<layout_error>("output has no memory", x.teachers, {nullptr, 3, 4});
  x.refused<layout_error>("output has a stride of 0, so its elements are not distinct", x.teachers,
                          {x.out.data(), 3, 4, 0, 1});
  const matrix_view<const float> inside(x.out.data() + 1, 3, 4);
  x.refused<layout_error>("output overlaps teachers[1] without being exactly the same elements",
                          {matrix_view(x.a.data(), 3, 4), inside}, x.output());
  const auto* const ids = reinterpret_cast<const std::int32_t*>(x.out.data());  // 7.0f is no teacher
  const std::vector<float> nothing = {0, 0, 0};
  x.refused<layout_error>("output overlaps chosen", x.teachers, x.output(),
                          {.chosen = {ids, 3, 1}, .row_weights = nothing});
  const auto divergences = [&](matrix_view<float> to) {
    return [&x, to] { divergences_from_mean{}(x.teachers, to); };
  };
  CHECK_THROWS_WITH(divergences({x.out.data(), 3, 3})(),
                    "divergences_from_mean: divergences has 3 columns, there are 2 teachers");
  CHECK_THROWS_WITH(divergences({x.a.data(), 3, 2})(),
                    "divergences_from_mean: divergences overlaps teachers[0]");
  const std::vector<float> untouched(12, 1);
  CHECK(x.a == untouched);
}

}  // namespace mixing_errors_test
