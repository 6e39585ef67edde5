// softmax and its relatives on infinities, NaN, and logits and temperatures at the ends of their ranges.
#include <catch2/catch.hpp>

#include "numeric/softmax_cases.hpp"

using namespace softmax_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr operation forward[] = {operation::softmax, operation::log_softmax, operation::log_sum_exp,
                                 operation::log_sum_exp_backward};

// Rows by index: 1 has masked classes, 3 only those, 5 a NaN, 7 +inf; the others are ordinary.
std::vector<double> special_logits(std::size_t rows, std::size_t classes) {
  std::vector<double> values = input_values(operation::softmax, rows, classes, 5);
  for (std::size_t c = 0; c < classes; ++c) {
    if (c % 3 != 1 && c + 1 != classes) values[classes + c] = -inf;
    values[3 * classes + c] = -inf;
  }
  values[5 * classes + classes / 2] = nan;
  values[7 * classes + classes - 1] = inf;
  return values;
}

template <class T>
void check_special_rows(operation which, std::size_t classes, layout how) {
  const std::size_t rows = 35;
  const guarded_matrix<T> logits(rows, special_logits(rows, classes), how);
  const guarded_matrix<float> upstream(rows, std::vector<double>(rows, 0.5));
  using output_type = std::conditional_t<(sizeof(T) > 4), double, float>;
  guarded_matrix<output_type> output(rows, has_vector_output(which) ? 1 : classes, how);
  call(which, logits.view(), upstream.view(), output.view(), {.temperature = 1.5});
  CHECK(output.is_intact());
  oracle::matrix input = logits.exact();
  for (std::size_t row : {3, 5, 7})
    for (std::size_t c = 0; c < output.classes(); ++c) {
      CAPTURE(row, c);
      CHECK(std::isnan(output.at(row, c)));
      output(row, c) = 0;
    }
  for (std::size_t row : {3, 5, 7})
    for (std::size_t c = 0; c < classes; ++c) input.at(row, c) = 0;
  answer expected = answer_of(which, input, upstream.exact(), 1.5, sizeof(T) == 8);
  for (std::size_t row : {3, 5, 7})
    for (std::size_t c = 0; c < output.classes(); ++c) expected.expected.at(row, c) = 0;
  CHECK(worst_of(output, expected) <= 1);
  if (which == operation::log_softmax) CHECK(output.at(1, 0) == -inf);
  if (which == operation::softmax) CHECK(output.at(1, 0) == 0);
}

template <class T>
void check_large(const std::vector<double>& logits, double temperature, const std::vector<double>& expected) {
  const guarded_matrix<T> input(1, logits);
  guarded_matrix<T> output(1, logits.size());
  distill::softmax(input.view(), output.view(), {.temperature = temperature});
  for (std::size_t c = 0; c < logits.size(); ++c) {
    CAPTURE(c, logits.size(), temperature);
    CHECK(output.at(0, c) == Approx(expected[c]).margin(1e-30));
  }
}

// The same values again and again: many classes, each with its share.
std::vector<double> repeated(const std::vector<double>& values, std::size_t times, double factor = 1) {
  std::vector<double> result;
  for (std::size_t i = 0; i < times; ++i)
    for (const double v : values) result.push_back(v * factor);
  return result;
}

}  // namespace

TEST_CASE("masked classes have probability 0, rows without a softmax are NaN") {
  on_every_target([](const std::string& target) {
    for (const operation which : forward)
      for (const std::size_t classes : {2, 9, 40, 700})
        for (const layout how : {layout::compact, layout::column_major, layout::every_third}) {
          CAPTURE(target, name_of(which), classes, support::name_of(how));
          check_special_rows<float>(which, classes, how);
          check_special_rows<double>(which, classes, how);
          check_special_rows<distill::bfloat16>(which, classes, how);
          check_special_rows<distill::float16>(which, classes, how);
        }
  });
}

TEST_CASE("the largest logits and the extreme temperatures have a softmax") {
  on_every_target([](const std::string& target) {
    INFO(target);
    for (const std::size_t times : {1, 50}) {
      const double share = 1.0 / static_cast<double>(times);
      check_large<float>(repeated({3e38, -3e38, 3e38}, times), 1, repeated({0.5, 0, 0.5}, times, share));
      check_large<double>(repeated({1e308, -1e308, 1e308}, times), 1, repeated({0.5, 0, 0.5}, times, share));
      check_large<float>(repeated({1e5, 1e5, 1e5 - 1000}, times), 1, repeated({0.5, 0.5, 0}, times, share));
      for (const double temperature : {1e-300, 1e-30}) {
        check_large<float>(repeated({2, 1, 2}, times), temperature, repeated({0.5, 0, 0.5}, times, share));
        check_large<double>(repeated({2, 1, 2}, times), temperature, repeated({0.5, 0, 0.5}, times, share));
      }
      for (const double temperature : {1e30, 1e300})
        check_large<float>(repeated({2, -inf, 5}, times), temperature, repeated({0.5, 0, 0.5}, times, share));
    }
  });
}

TEST_CASE("late and rising maxima keep their digits") {
  on_every_target([](const std::string& target) {
    for (const double rise : {0.01, 0.5, 3.0, 100.0}) {
      const std::size_t rows = 3, classes = 3000;
      std::vector<double> values = input_values(operation::softmax, rows, classes, 6, 1);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += rise * static_cast<double>(i % classes);
      const guarded_matrix<float> logits(rows, values), none(rows, std::vector<double>(rows, 1));
      for (const operation which : {operation::softmax, operation::log_softmax, operation::log_sum_exp}) {
        guarded_matrix<float> output(rows, has_vector_output(which) ? 1 : classes);
        call(which, logits.view(), none.view(), output.view());
        CAPTURE(target, rise, name_of(which));
        CHECK(worst_of(output, answer_of(which, logits.exact(), none.exact(), 1, false)) <= 1);
      }
    }
  });
}

TEST_CASE("a masked beginning of a row costs no digits") {
  const std::size_t classes = 2000;
  std::vector<double> values = input_values(operation::log_softmax, 1, classes, 7, 1);
  for (std::size_t c = 0; c < classes; ++c) values[c] = c < 1500 ? -inf : values[c] - 500;
  const guarded_matrix<float> logits(1, values);
  on_every_target([&](const std::string& target) {
    guarded_matrix<float> output(1, classes);
    distill::log_softmax(logits.view(), output.view());
    INFO(target);
    CHECK(worst_of(output, answer_of(operation::log_softmax, logits.exact(), logits.exact(), 1, false)) <= 1);
  });
}

TEST_CASE("gradients pass NaN through their row only") {
  for (const operation which : {operation::softmax_backward, operation::log_softmax_backward})
    for (const std::size_t classes : {5, 100}) {
      const guarded_matrix<float> input(20, input_values(which, 20, classes, 8));
      guarded_matrix<float> upstream(20, support::independent_logits(20, classes, 9).student);
      upstream(4, 2) = std::numeric_limits<float>::quiet_NaN();
      guarded_matrix<float> gradient(20, classes);
      call(which, input.view(), upstream.view(), gradient.view());
      for (std::size_t row = 0; row < 20; ++row) {
        CAPTURE(name_of(which), classes, row);
        CHECK(std::isnan(gradient.at(row, 0)) == (row == 4));
      }
    }
}

TEST_CASE("a million rows") {
  const std::size_t rows = 1000000;
  const std::vector<float> logits(3 * rows, 2.0f);
  std::vector<float> output(3 * rows);
  distill::softmax(distill::matrix_view(logits.data(), rows, 3),
                   distill::matrix_view(output.data(), rows, 3));
  CHECK(std::all_of(output.begin(), output.end(), [](float p) { return std::abs(p - 1 / 3.0f) < 1e-6f; }));
}
