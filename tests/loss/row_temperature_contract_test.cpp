// What a loss takes for a temperature, and what it refuses_temperature.
#include <array>
#include <catch2/catch.hpp>
#include <distill/error/error.hpp>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_temperature.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace distill;

namespace {

// A good batch of 4 x 3, to be spoiled in one place.
struct small_batch {
  std::vector<float> student = {0, 3, 1, -2, 5, 1, 4, 1, -3, 0, 2, 2},
                     teacher = std::vector<float>(12, 0.25f);
  std::vector<float> gradient = std::vector<float>(12, 7.0f);
  std::vector<double> values = std::vector<double>(4, 7.0);
  matrix_view<float> z{student.data(), 4, 3}, t{teacher.data(), 4, 3}, g{gradient.data(), 4, 3};
};

template <class Error, class L>
void refuses_temperature(const L& loss, const std::string& message, const row_options& given = {}) {
  small_batch b;
  row_options rows = given;
  rows.row_values = b.values;
  std::string got = "no exception";
  try {
    (void)loss(b.z, b.t, b.g, rows);
  } catch (const Error& error) {
    got = error.what();
  }
  CHECK(got == message);
  CHECK(b.gradient == std::vector<float>(12, 7.0f));
  CHECK(b.values == std::vector<double>(4, 7.0));
}

// Eigen's way to say where elements are, and how far apart.
struct strided_floats {
  const float* first;
  const float* data() const { return first; }
  std::ptrdiff_t size() const { return 4; }
  std::ptrdiff_t innerStride() const { return 2; }
};

}  // namespace

TEST_CASE("a temperature is a number or a run of floats") {
  small_batch b;
  const std::vector<float> vector = {1, 2, 3, 4};
  const std::array<float, 4> array = {1, 2, 3, 4};
  const float plain[] = {1, 2, 3, 4}, apart[] = {1, 0, 2, 0, 3, 0, 4, 0};
  const strided_floats eigen_like{apart};
  const double expected = forward_kl{.temperature = vector}(b.z, b.t);
  CHECK(expected != forward_kl{.temperature = 1}(b.z, b.t, no_gradient));
  CHECK(forward_kl{.temperature = array}(b.z, b.t) == expected);
  CHECK(forward_kl{.temperature = plain}(b.z, b.t) == expected);
  CHECK(forward_kl{.temperature = std::span<const float>(vector)}(b.z, b.t) == expected);
  CHECK(forward_kl{.temperature = vector_view<const float>(apart, 4, 2)}(b.z, b.t) == expected);
  CHECK(forward_kl{.temperature = eigen_like}(b.z, b.t) == expected);
  CHECK(forward_kl{.temperature = vector, .teacher_temperature = array}(b.z, b.t) == Approx(expected));
}

TEST_CASE("what would dangle, or is no float, is no temperature") {
  STATIC_REQUIRE(std::is_convertible_v<int, row_temperature>);
  STATIC_REQUIRE(std::is_convertible_v<std::vector<float>&, row_temperature>);
  STATIC_REQUIRE(std::is_convertible_v<std::span<const float>, row_temperature>);
  STATIC_REQUIRE(std::is_convertible_v<vector_view<float>, row_temperature>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::vector<float>, row_temperature>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::array<float, 4>, row_temperature>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::vector<double>&, row_temperature>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::vector<int>&, row_temperature>);
}

TEST_CASE("temperatures compare as numbers, and as memory") {
  const std::vector<float> a = {1, 2}, b = {1, 2};
  CHECK(row_temperature(2) == 2);
  CHECK(row_temperature(2) != row_temperature(3));
  CHECK(row_temperature(a) == row_temperature(a));
  CHECK(row_temperature(a) != row_temperature(b));
  CHECK(row_temperature(a) != row_temperature(1));
  CHECK(row_temperature(a)[1] == 2);
  CHECK(row_temperature(5)[1] == 5);
  CHECK(forward_kl{.temperature = a} == forward_kl{.temperature = a});
  CHECK(forward_kl{.temperature = a} != forward_kl{.temperature = b});
  CHECK(forward_kl{.teacher_temperature = a} != forward_kl{});
}

TEST_CASE("losses with a temperature for each row print so") {
  const std::vector<float> a = {1, 2};
  CHECK(to_string(forward_kl{.temperature = a}) == "forward_kl{.temperature = per_row}");
  CHECK(to_string(jensen_shannon{.temperature = 3, .teacher_temperature = a}) ==
        "jensen_shannon{.temperature = 3, .teacher_temperature = per_row, .beta = 0.5}");
  CHECK(to_string(forward_kl{.temperature = a, .teacher_temperature = 2}) ==
        "forward_kl{.temperature = per_row, .teacher_temperature = 2}");
}

TEST_CASE("temperatures of the wrong number") {
  const std::vector<float> five(5, 1.0f), none;
  refuses_temperature<shape_error>(forward_kl{.temperature = five},
                                   "forward_kl: temperature has 5 entries, student has 4 rows");
  refuses_temperature<shape_error>(reverse_kl{.temperature = none},
                                   "reverse_kl: temperature has 0 entries, student has 4 rows");
  refuses_temperature<shape_error>(total_variation{.teacher_temperature = five},
                                   "total_variation: teacher_temperature has 5 entries, student has 4 rows");
}

TEST_CASE("a temperature out of range is named with its row") {
  std::vector<float> one = {1, 2, 0, 4};
  const std::vector<int> labels = {0, 1, 2, -100};
  const std::vector<float> good(4, 2.0f), mask = {1, 1, 0, 1};
  refuses_temperature<parameter_error>(forward_kl{.temperature = one},
                                       "forward_kl: temperature[2] must be finite and > 0, got 0");
  one[2] = -3;
  refuses_temperature<parameter_error>(
      jensen_shannon{.temperature = good, .teacher_temperature = one},
      "jensen_shannon: teacher_temperature[2] must be finite and > 0, got -3");
  refuses_temperature<parameter_error>(cross_entropy{.labels = labels, .temperature = one},
                                       "cross_entropy: temperature[2] must be finite and > 0, got -3");
  one[2] = std::numeric_limits<float>::infinity();
  refuses_temperature<parameter_error>(forward_kl{} + alpha_beta{.temperature = one},
                                       "alpha_beta: temperature[2] must be finite and > 0, got inf");
  one[2] = std::numeric_limits<float>::quiet_NaN();
  refuses_temperature<parameter_error>(soft_cross_entropy{.temperature = one},
                                       "soft_cross_entropy: temperature[2] must be finite and > 0, got nan");
  small_batch b;
  CHECK_NOTHROW(forward_kl{.temperature = one}(b.z, b.t, b.g, {.row_weights = mask}));
  std::vector<float> ignored = {1, 1, 1, -1};
  CHECK_NOTHROW(cross_entropy{.labels = labels, .temperature = ignored}(b.z));
  CHECK_THROWS_AS(forward_kl{.temperature = ignored}(b.z, b.t), parameter_error);
}

TEST_CASE("the gradient may not overlap the temperatures") {
  std::vector<float> memory(24, 1.0f);
  small_batch b;
  const matrix_view g(memory.data(), 4, 3);
  const vector_view<const float> inside(memory.data() + 2, 4), outside(memory.data() + 12, 4);
  CHECK_THROWS_WITH(forward_kl{.temperature = inside}(b.z, b.t, g),
                    "forward_kl: gradient overlaps temperature");
  CHECK_THROWS_WITH((forward_kl{.temperature = outside, .teacher_temperature = inside}(b.z, b.t, g)),
                    "forward_kl: gradient overlaps teacher_temperature");
  CHECK(memory == std::vector<float>(24, 1.0f));
  CHECK_NOTHROW(forward_kl{.temperature = outside}(b.z, b.t, g));
}

// Temperatures so near that they are the same in float are one for the kernels.
TEST_CASE("temperatures that differ by less than float resolves") {
  for (const std::size_t classes : {8u, 64u, 600u}) {
    std::vector<float> z(classes), t(classes), gradient(classes), close(classes);
    for (std::size_t i = 0; i < classes; ++i)
      z[i] = static_cast<float>(i % 7), t[i] = static_cast<float>(i % 5);
    const matrix_view student(z.data(), 1, classes), teacher(t.data(), 1, classes);
    const auto value = [&](double of_teacher, auto& g) {
      const forward_kl soft{.temperature = 1.5, .teacher_temperature = of_teacher};
      const double one = soft(student, teacher, matrix_view(g.data(), 1, classes));
      const reverse_kl back{.temperature = 1.5, .teacher_temperature = of_teacher};
      return one + (soft + back)(student, teacher, matrix_view(g.data(), 1, classes));
    };
    CHECK(value(1.5, gradient) == Approx(value(1.5 + 1e-12, close)).epsilon(1e-6));
    for (std::size_t i = 0; i < classes; ++i) CHECK(close[i] == Approx(gradient[i]).margin(1e-6));
  }
}
