// softmax and its relatives against long double: every SIMD target, shape, element type, layout and
// temperature.
#include <catch2/catch.hpp>

#include "numeric/softmax_cases.hpp"

using namespace softmax_cases;
using support::guarded_matrix;
using support::layout;

namespace {

struct setting {
  std::size_t rows = 5, classes = 7;
  layout in = layout::compact, up = layout::compact, out = layout::compact;
  double temperature = 1, deviation = 3;
  std::size_t offset = 0;
};

template <class Input, class Upstream = Input, class Output = Input>
double worst_of(operation which, const setting& s) {
  if (!applies_to<Output>(which)) return 0;
  const guarded_matrix<Input> input(s.rows, input_values(which, s.rows, s.classes, 1, s.deviation), s.in,
                                    s.offset);
  const std::size_t upstream_classes = has_vector_upstream(which) ? 1 : s.classes;
  guarded_matrix<Upstream> upstream(
      s.rows, support::independent_logits(s.rows, upstream_classes, 2, 1).student, s.up);
  guarded_matrix<Output> output(s.rows, has_vector_output(which) ? 1 : s.classes, s.out, s.offset);
  call(which, input.view(), upstream.view(), output.view(), {.temperature = s.temperature});
  CHECK(output.is_intact());
  const bool is_double = sizeof(Input) == 8;
  return softmax_cases::worst_of(output,
                                 answer_of(which, input.exact(), upstream.exact(), s.temperature, is_double));
}

// Calls f(operation) for each function on each target.
template <class F>
void for_each_case(F f) {
  on_every_target([&](const std::string& target) {
    INFO(target);
    REQUIRE(distill::active_target() == target);
    for (const operation which : all_operations) {
      INFO(name_of(which));
      f(which);
    }
  });
}

}  // namespace

TEST_CASE("every shape is within the stated error") {
  for_each_case([](operation which) {
    for (const std::size_t classes :
         {1, 2, 3, 4, 5, 10, 16, 31, 32, 33, 64, 65, 100, 127, 128, 129, 1000, 1025, 5003})
      for (const std::size_t rows : {1, 2, 15, 16, 17, 37}) {
        if (classes > 1000 && rows > 2) continue;
        CAPTURE(rows, classes);
        CHECK(worst_of<float>(which, {.rows = rows, .classes = classes}) <= 1);
        CHECK(worst_of<double>(which, {.rows = rows, .classes = classes}) <= 1);
      }
  });
}

TEST_CASE("a vocabulary is within the stated error") {
  for_each_case([](operation which) {
    CHECK(worst_of<float>(which, {.rows = 3, .classes = 50257, .offset = 3}) <= 1);
    CHECK(worst_of<double>(which, {.rows = 2, .classes = 50257}) <= 1);
    CHECK(worst_of<distill::bfloat16, float, float>(which, {.rows = 3, .classes = 50257}) <= 1);
  });
}

// Outputs beyond the cache are written past it: the same bits as in slices that fit.
TEST_CASE("an output beyond the cache has the same bits") {
  const std::size_t rows = 352, classes = 50257, slice = 16;
  std::vector<float> input(rows * classes), whole(rows * classes + 1), sliced(rows * classes);
  support::random_source random(10);
  for (float& z : input) z = static_cast<float>(6 * random.uniform() - 3);
  const std::vector<float> weights(rows, 0.5f);
  const auto rows_of = [&](auto* data, std::size_t first, std::size_t count) {
    return distill::matrix_view(data + first * classes, count, classes);
  };
  const auto run = [&](operation which, float* output, std::size_t first, std::size_t count) {
    const auto z = rows_of(std::as_const(input).data(), first, count);
    const auto out = rows_of(output, first, count);
    if (which == operation::log_sum_exp_backward)
      return distill::log_sum_exp_backward(z, distill::vector_view(weights.data() + first, count), out);
    call(which, z, z, out);
  };
  for (const operation which : all_operations) {
    if (has_vector_output(which)) continue;
    run(which, whole.data() + 1, 0, rows);
    for (std::size_t first = 0; first < rows; first += slice) run(which, sliced.data(), first, slice);
    INFO(name_of(which));
    CHECK(std::equal(sliced.begin(), sliced.end(), whole.begin() + 1));
  }
}

TEST_CASE("every layout is within the stated error") {
  constexpr layout layouts[] = {layout::compact,        layout::padded_rows, layout::column_major,
                                layout::padded_columns, layout::every_third, layout::reversed_rows};
  for_each_case([&](operation which) {
    for (const layout in : layouts)
      for (const layout out : layouts)
        for (const std::size_t classes : {6, 70}) {
          setting s{.rows = 35, .classes = classes, .in = in, .up = out, .out = out, .offset = 1};
          CAPTURE(name_of(in), name_of(out), classes);
          CHECK(worst_of<float>(which, s) <= 1);
          CHECK(worst_of<double>(which, s) <= 1);
          s.up = layout::compact;
          CHECK(worst_of<distill::bfloat16, float>(which, s) <= 1);
          CHECK(worst_of<distill::bfloat16, float, float>(which, s) <= 1);
        }
  });
}

TEST_CASE("every element type is within the stated error") {
  using distill::bfloat16;
  using distill::float16;
  for_each_case([](operation which) {
    for (const std::size_t classes : {3, 12, 300}) {
      const setting s{.rows = 18, .classes = classes};
      CAPTURE(classes);
      CHECK(worst_of<bfloat16, float, bfloat16>(which, s) <= 1);
      CHECK(worst_of<float16, float, float16>(which, s) <= 1);
      CHECK(worst_of<bfloat16, double, float>(which, s) <= 1);
      CHECK(worst_of<float16, float, float>(which, s) <= 1);
      CHECK(worst_of<float, double, float>(which, s) <= 1);
      CHECK(worst_of<double, float, double>(which, s) <= 1);
      if (has_vector_upstream(which)) continue;
      CHECK(worst_of<bfloat16, bfloat16, float>(which, s) <= 1);
      CHECK(worst_of<float, float16, float>(which, s) <= 1);
    }
  });
}

TEST_CASE("every temperature is within the stated error") {
  for_each_case([](operation which) {
    for (const double temperature : {0.05, 0.7, 2.0, 30.0, 1e4})
      for (const std::size_t classes : {10, 500}) {
        const setting s{.rows = 19, .classes = classes, .temperature = temperature};
        CAPTURE(temperature, classes);
        CHECK(worst_of<float>(which, s) <= 1);
        CHECK(worst_of<double>(which, s) <= 1);
      }
  });
}

TEST_CASE("log_sum_exp writes floats and doubles, at any stride") {
  const guarded_matrix<float> logits(40, input_values(operation::log_sum_exp, 40, 9, 3));
  std::vector<double> doubles(120, -7);
  std::vector<float> floats(40);
  distill::log_sum_exp(logits.view(), distill::vector_view<double>(doubles.data(), 40, 3));
  distill::log_sum_exp(logits.view(), floats);
  for (std::size_t row = 0; row < 40; ++row) {
    CHECK(floats[row] == static_cast<float>(doubles[3 * row]));
    CHECK(doubles[3 * row + 1] == -7);
  }
}

TEST_CASE("probabilities sum to 1") {
  on_every_target([](const std::string& target) {
    for (const std::size_t classes : {2, 10, 128, 1000, 50257}) {
      const guarded_matrix<float> logits(16, input_values(operation::softmax, 16, classes, 4, 5));
      guarded_matrix<float> output(16, classes);
      distill::softmax(logits.view(), output.view());
      for (std::size_t row = 0; row < 16; ++row) {
        double sum = 0;
        for (std::size_t c = 0; c < classes; ++c) sum += output.at(row, c);
        CAPTURE(target, classes, row);
        CHECK(std::abs(sum - 1) <= 6e-7);
      }
    }
  });
}
