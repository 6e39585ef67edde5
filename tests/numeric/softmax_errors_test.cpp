// What softmax and its relatives refuse, in which words, and that nothing is written then.
#include <catch2/catch.hpp>

#include "numeric/softmax_cases.hpp"

using namespace softmax_cases;
using support::guarded_matrix;

namespace {

constexpr float untouched = 7;

struct arguments {
  std::vector<float> logits = std::vector<float>(12, 1), upstream = std::vector<float>(12, 1);
  std::vector<float> output = std::vector<float>(24, untouched);
  std::vector<double> entries = std::vector<double>(3, 1);

  distill::matrix_view<const float> z() const { return {logits.data(), 3, 4}; }
  distill::matrix_view<const float> u() const { return {upstream.data(), 3, 4}; }
  distill::matrix_view<float> out() { return {output.data(), 3, 4}; }
};

// Error being the type, and the text exactly this.
template <class Error, class F>
void check_refused(arguments& a, const std::string& message, F f) {
  CHECK_THROWS_AS(f(), Error);
  CHECK_THROWS_WITH(f(), message);
  CHECK(a.output == std::vector<float>(24, untouched));
}

}  // namespace

TEST_CASE("temperatures are finite and positive") {
  arguments a;
  const auto with = [&](double temperature) {
    return [&, temperature] { distill::softmax(a.z(), a.out(), {.temperature = temperature}); };
  };
  check_refused<distill::parameter_error>(a, "softmax: temperature must be finite and > 0, got -1", with(-1));
  check_refused<distill::parameter_error>(a, "softmax: temperature must be finite and > 0, got 0", with(0));
  check_refused<distill::parameter_error>(a, "softmax: temperature must be finite and > 0, got inf",
                                          with(std::numeric_limits<double>::infinity()));
  check_refused<distill::parameter_error>(
      a, "log_softmax_backward: temperature must be finite and > 0, got nan",
      [&] { distill::log_softmax_backward(a.z(), a.u(), a.out(), {.temperature = std::nan("")}); });
}

TEST_CASE("shapes agree") {
  arguments a;
  using distill::matrix_view;
  using distill::shape_error;
  check_refused<shape_error>(a, "softmax: logits has 0 rows", [&] {
    distill::softmax(matrix_view<const float>(a.logits.data(), 0, 4), a.out());
  });
  check_refused<shape_error>(a, "log_softmax: logits has 0 classes", [&] {
    distill::log_softmax(matrix_view<const float>(a.logits.data(), 3, 0), a.out());
  });
  check_refused<shape_error>(a, "softmax: output has 5 classes, logits has 4",
                             [&] { distill::softmax(a.z(), matrix_view<float>(a.output.data(), 3, 5)); });
  check_refused<shape_error>(a, "log_softmax: output has 2 rows, logits has 3",
                             [&] { distill::log_softmax(a.z(), matrix_view<float>(a.output.data(), 2, 4)); });
  check_refused<shape_error>(a, "log_sum_exp: output has 24 entries, logits has 3 rows",
                             [&] { distill::log_sum_exp(a.z(), a.output); });
  check_refused<shape_error>(a, "log_sum_exp_backward: upstream has 12 entries, logits has 3 rows",
                             [&] { distill::log_sum_exp_backward(a.z(), a.upstream, a.out()); });
  check_refused<shape_error>(a, "softmax_backward: upstream has 3 classes, probabilities has 4", [&] {
    distill::softmax_backward(a.z(), matrix_view<const float>(a.upstream.data(), 3, 3), a.out());
  });
  check_refused<shape_error>(a, "log_softmax_backward: gradient has 1 rows, log_probabilities has 3", [&] {
    distill::log_softmax_backward(a.z(), a.u(), matrix_view<float>(a.output.data(), 1, 4));
  });
}

TEST_CASE("element types agree") {
  arguments a;
  std::vector<double> doubles(12, 7);
  std::vector<distill::bfloat16> halves(12);
  const distill::matrix_view<double> wide(doubles.data(), 3, 4);
  check_refused<distill::layout_error>(a,
                                       "softmax: output is float64, logits is float32; it must be the same",
                                       [&] { distill::softmax(a.z(), wide); });
  check_refused<distill::layout_error>(
      a, "softmax: output is float64, logits is bfloat16; it must be the same, or float32",
      [&] { distill::softmax(distill::matrix_view(halves.data(), 3, 4), wide); });
  check_refused<distill::layout_error>(
      a, "softmax_backward: gradient is float32, probabilities is float64; it must be the same",
      [&] { distill::softmax_backward(wide, a.u(), a.out()); });
  CHECK(doubles == std::vector<double>(12, 7));
}

TEST_CASE("memory is there, aligned, and the output's own") {
  arguments a;
  using distill::layout_error;
  using distill::matrix_view;
  check_refused<layout_error>(a, "softmax: logits has no memory",
                              [&] { distill::softmax(matrix_view<const float>(nullptr, 3, 4), a.out()); });
  check_refused<layout_error>(a, "softmax: output has no memory",
                              [&] { distill::softmax(a.z(), matrix_view<float>(nullptr, 3, 4)); });
  check_refused<layout_error>(a, "softmax_backward: upstream has no memory", [&] {
    distill::softmax_backward(a.z(), matrix_view<const float>(nullptr, 3, 4), a.out());
  });
  check_refused<layout_error>(a, "softmax: output has a stride of 0, so its elements are not distinct", [&] {
    distill::softmax(a.z(), matrix_view<float>(a.output.data(), 3, 4, 0, 1));
  });
  const auto* odd = reinterpret_cast<const float*>(reinterpret_cast<const char*>(a.logits.data()) + 1);
  check_refused<layout_error>(a, "log_softmax: logits is not aligned to its 4-byte elements", [&] {
    distill::log_softmax(matrix_view<const float>(odd, 2, 4), matrix_view<float>(a.output.data(), 2, 4));
  });
  const matrix_view<float> shifted(a.output.data() + 1, 3, 4);
  check_refused<layout_error>(a, "softmax: output overlaps logits without being exactly the same elements",
                              [&] { distill::softmax(a.out(), shifted); });
  check_refused<layout_error>(
      a, "softmax_backward: gradient overlaps upstream without being exactly the same elements",
      [&] { distill::softmax_backward(a.z(), a.out(), shifted); });
  check_refused<layout_error>(a, "log_sum_exp_backward: gradient overlaps upstream", [&] {
    distill::log_sum_exp_backward(a.z(), distill::vector_view<float>(a.output.data() + 2, 3), a.out());
  });
}

TEST_CASE("halves of one buffer, side by side, are not an overlap") {
  std::vector<float> both(3 * 20, 1);
  const distill::matrix_view<float> left(both.data(), 3, 10, 20, 1), right(both.data() + 10, 3, 10, 20, 1);
  distill::softmax(left, right);
  CHECK(right(2, 9) == Approx(0.1f));
  CHECK(left(2, 9) == 1);
}
