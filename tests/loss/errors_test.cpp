// Every refusal: its type, its exact words, and that nothing was written.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <distill/error/error.hpp>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <distill/view/matrix_view.hpp>
#include <string>
#include <vector>

#include "support/special_values.hpp"

using namespace distill;
using support::kInfinity;
using support::kNan;

namespace {

// A good batch of 4 x 3, to be spoiled in one place.
struct batch {
  std::vector<float> student = std::vector<float>(12, 0.5f), teacher = std::vector<float>(12, 0.25f);
  std::vector<float> gradient = std::vector<float>(12, 7.0f);
  std::vector<double> values = std::vector<double>(4, 7.0);
  matrix_view<float> z{student.data(), 4, 3}, t{teacher.data(), 4, 3}, g{gradient.data(), 4, 3};

  bool untouched() const {
    return gradient == std::vector<float>(12, 7.0f) && values == std::vector<double>(4, 7.0) &&
           student == std::vector<float>(12, 0.5f);
  }
};

template <class Error, class F>
void refuses(const batch& b, const std::string& message, F call) {
  INFO(message);
  std::string got = "no exception";
  try {
    (void)call();
  } catch (const Error& error) {
    got = error.what();
  } catch (const std::exception& error) {
    got = std::string("another type: ") + error.what();
  }
  CHECK(got == message);
  CHECK(b.untouched());
}

template <class L>
void refuses_parameter(const L& loss, const std::string& message) {
  batch b;
  refuses<parameter_error>(b, message, [&] { return loss(b.z, b.t, b.g, {.row_values = b.values}); });
}

}  // namespace

TEST_CASE("parameters out of range") {
  refuses_parameter(forward_kl{.temperature = 0}, "forward_kl: temperature must be finite and > 0, got 0");
  refuses_parameter(forward_kl{.temperature = -1}, "forward_kl: temperature must be finite and > 0, got -1");
  refuses_parameter(reverse_kl{.temperature = kInfinity},
                    "reverse_kl: temperature must be finite and > 0, got inf");
  refuses_parameter(total_variation{.temperature = kNan},
                    "total_variation: temperature must be finite and > 0, got nan");
  refuses_parameter(soft_cross_entropy{.teacher_temperature = -2.5},
                    "soft_cross_entropy: teacher_temperature must be finite and > 0, got -2.5");
  refuses_parameter(jensen_shannon{.beta = 0}, "jensen_shannon: beta must be in (0, 1), got 0");
  refuses_parameter(jensen_shannon{.beta = 1}, "jensen_shannon: beta must be in (0, 1), got 1");
  refuses_parameter(jensen_shannon{.beta = kNan}, "jensen_shannon: beta must be in (0, 1), got nan");
  refuses_parameter(skewed_forward_kl{.alpha = 1}, "skewed_forward_kl: alpha must be in [0, 1), got 1");
  refuses_parameter(skewed_reverse_kl{.alpha = -0.1}, "skewed_reverse_kl: alpha must be in [0, 1), got -0.1");
  refuses_parameter(alpha_beta{.alpha = kInfinity}, "alpha_beta: alpha must be finite, got inf");
  refuses_parameter(alpha_beta{.beta = kNan}, "alpha_beta: beta must be finite, got nan");
  refuses_parameter(kInfinity * forward_kl{},
                    "objective: the coefficient of forward_kl must be finite, got inf");
  const std::vector<std::int32_t> labels(4, 0);
  refuses_parameter(cross_entropy{.labels = labels, .label_smoothing = 1.5},
                    "cross_entropy: label_smoothing must be in [0, 1], got 1.5");
  refuses_parameter(cross_entropy{.labels = labels, .temperature = -3},
                    "cross_entropy: temperature must be finite and > 0, got -3");
  refuses_parameter(objective{}, "objective: has no losses");
}

TEST_CASE("a ninth loss") {
  objective sum;
  for (int i = 0; i < 8; ++i) sum += objective(forward_kl{});
  CHECK_THROWS_WITH(sum += objective(forward_kl{}), "objective: holds at most 8 losses");
  CHECK_THROWS_AS(sum + forward_kl{}, parameter_error);
  CHECK(sum.terms().size() == 8);
}

TEST_CASE("shapes that do not fit") {
  batch b;
  const std::vector<float> large(100, 1.0f);
  const auto teacher = [&](std::size_t rows, std::size_t classes) {
    return matrix_view(large.data(), rows, classes);
  };
  refuses<shape_error>(b, "forward_kl: teacher has 5 rows, student has 4",
                       [&] { return forward_kl{}(b.z, teacher(5, 3), b.g); });
  refuses<shape_error>(b, "forward_kl: teacher has 2 classes, student has 3",
                       [&] { return forward_kl{}(b.z, teacher(4, 2), b.g); });
  refuses<shape_error>(b, "jensen_shannon: gradient has 3 rows, student has 4",
                       [&] { return jensen_shannon{}(b.z, b.t, matrix_view(b.gradient.data(), 3, 3)); });
  refuses<shape_error>(b, "jensen_shannon: gradient has 4 classes, student has 3",
                       [&] { return jensen_shannon{}(b.z, b.t, matrix_view(b.gradient.data(), 4, 4)); });
  refuses<shape_error>(b, "forward_kl: student has 0 rows", [&] {
    return forward_kl{}(matrix_view(b.student.data(), 0, 3), matrix_view(b.teacher.data(), 0, 3),
                        matrix_view(b.gradient.data(), 0, 3));
  });
  refuses<shape_error>(b, "forward_kl: student has 0 classes", [&] {
    return forward_kl{}(matrix_view(b.student.data(), 4, 0), matrix_view(b.teacher.data(), 4, 0));
  });
  const float weights[] = {1, 1, 1};
  refuses<shape_error>(b, "forward_kl: row_weights has 3 entries, student has 4 rows",
                       [&] { return forward_kl{}(b.z, b.t, b.g, {.row_weights = weights}); });
  refuses<shape_error>(b, "forward_kl: row_values has 5 entries, student has 4 rows", [&] {
    std::vector<double> five(5);
    return forward_kl{}(b.z, b.t, b.g, {.row_values = five});
  });
  const std::vector<std::int32_t> labels(3, 0);
  refuses<shape_error>(b, "cross_entropy: labels has 3 entries, student has 4 rows",
                       [&] { return cross_entropy{.labels = labels}(b.z, no_teacher, b.g); });
  refuses<shape_error>(b, "objective: teacher has 5 rows, student has 4",
                       [&] { return (forward_kl{} + reverse_kl{})(b.z, teacher(5, 3), b.g); });
}

TEST_CASE("missing memory and missing arguments") {
  batch b;
  const matrix_view<float> nothing(nullptr, 4, 3);
  refuses<layout_error>(b, "forward_kl: student has no memory",
                        [&] { return forward_kl{}(nothing, b.t, b.g); });
  refuses<layout_error>(b, "forward_kl: teacher has no memory",
                        [&] { return forward_kl{}(b.z, nothing, b.g); });
  refuses<parameter_error>(b, "forward_kl: needs a teacher",
                           [&] { return forward_kl{}(b.z, no_teacher, b.g); });
  const std::vector<std::int32_t> labels(4, 0);
  refuses<parameter_error>(b, "reverse_kl: needs a teacher", [&] {
    return (cross_entropy{.labels = labels} + reverse_kl{})(b.z, no_teacher, b.g);
  });
}

TEST_CASE("a gradient buffer without memory is not silently skipped") {
  batch b;
  CHECK_THROWS_AS(forward_kl{}(b.z, b.t, matrix_view<float>(nullptr, 4, 3)), layout_error);
}

TEST_CASE("gradients of another element type") {
  batch b;
  std::vector<double> doubles(12);
  refuses<layout_error>(b, "forward_kl: gradient is float64, student is float32; it must be the same",
                        [&] { return forward_kl{}(b.z, b.t, matrix_view(doubles.data(), 4, 3)); });
  const std::vector<bfloat16> student(12);
  std::vector<float16> halves(12);
  refuses<layout_error>(
      b, "forward_kl: gradient is float16, student is bfloat16; it must be the same, or float32",
      [&] { return forward_kl{}(matrix_view(student.data(), 4, 3), b.t, matrix_view(halves.data(), 4, 3)); });
}

TEST_CASE("row options that contradict each other") {
  batch b;
  refuses<parameter_error>(b, "forward_kl: reduction::none needs row_values",
                           [&] { return forward_kl{}(b.z, b.t, b.g, {.reduction = reduction::none}); });
  refuses<parameter_error>(b, "forward_kl: reduction::none has no denominator", [&] {
    return forward_kl{}(b.z, b.t, b.g,
                        {.reduction = reduction::none, .denominator = 2, .row_values = b.values});
  });
  const auto refuses_denominator = [&](double denominator, const std::string& text) {
    refuses<parameter_error>(b, "forward_kl: denominator must be finite and > 0, got " + text,
                             [&] { return forward_kl{}(b.z, b.t, b.g, {.denominator = denominator}); });
  };
  refuses_denominator(0, "0");
  refuses_denominator(-2, "-2");
  refuses_denominator(kNan, "nan");
  refuses_denominator(kInfinity, "inf");
  const float weights[] = {1, 1, std::numeric_limits<float>::quiet_NaN(), 1};
  refuses<parameter_error>(b, "forward_kl: row_weights[2] must be finite, got nan", [&] {
    return forward_kl{}(b.z, b.t, b.g, {.row_weights = weights, .row_values = b.values});
  });
}

TEST_CASE("labels out of range name row, value and range") {
  batch b;
  const auto call = [&](const auto& labels, std::int64_t ignore_index = -100) {
    return cross_entropy{.labels = labels, .ignore_index = ignore_index}(b.z, no_teacher, b.g,
                                                                         {.row_values = b.values});
  };
  const std::vector<std::int64_t> too_large = {0, 1, 3, 2};
  refuses<data_error>(b, "cross_entropy: labels[2] is 3, must be in [0, 3) or ignore_index -100",
                      [&] { return call(too_large); });
  const std::vector<std::int32_t> negative = {0, -1, 1, 2};
  refuses<data_error>(b, "cross_entropy: labels[1] is -1, must be in [0, 3) or ignore_index -100",
                      [&] { return call(negative); });
  const std::vector<std::uint8_t> bytes = {0, 1, 2, 255};
  refuses<data_error>(b, "cross_entropy: labels[3] is 255, must be in [0, 3) or ignore_index 254",
                      [&] { return call(bytes, 254); });
  const std::vector<std::int64_t> far = {std::int64_t{1} << 40, 0, 0, 0};
  refuses<data_error>(b, "cross_entropy: labels[0] is 1099511627776, must be in [0, 3) or ignore_index -100",
                      [&] { return call(far); });
  refuses<data_error>(b, "cross_entropy: labels[2] is 3, must be in [0, 3) or ignore_index -100",
                      [&] { return (forward_kl{} + cross_entropy{.labels = too_large})(b.z, b.t, b.g); });
  // A masked row's label is not looked at.
  const float weights[] = {1, 1, 0, 1};
  CHECK(std::isfinite(
      cross_entropy{.labels = too_large}(b.z, no_teacher, no_gradient, {.row_weights = weights})));
}

TEST_CASE("every error of a family can be caught by it") {
  batch b;
  CHECK_THROWS_AS(forward_kl{.temperature = 0}(b.z, b.t), std::invalid_argument);
  CHECK_THROWS_AS(forward_kl{}(b.z, matrix_view(b.teacher.data(), 3, 4)), std::invalid_argument);
  const std::vector<std::int32_t> labels(4, 9);
  CHECK_THROWS_AS(cross_entropy{.labels = labels}(b.z), std::runtime_error);
}
