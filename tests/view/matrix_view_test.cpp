#include <array>
#include <catch2/catch.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/matrix_like.hpp>
#include <distill/view/matrix_view.hpp>
#include <span>
#include <type_traits>
#include <vector>

using namespace distill;

namespace {

// std::mdspan's interface, as a library without it would write it.
struct my_mdspan {
  const float* data;
  std::array<int, 2> extents;
  std::array<int, 2> strides;
  const float* data_handle() const { return data; }
  static constexpr int rank() { return 2; }
  int extent(int i) const { return extents[static_cast<std::size_t>(i)]; }
  int stride(int i) const { return strides[static_cast<std::size_t>(i)]; }
};

struct ranked_mdspan : my_mdspan {
  int rank_ = 3;
  int rank() const { return rank_; }
};

struct my_tensor {
  float* data_handle() const { return nullptr; }
  int rank() const { return 2; }
  int extent(int) const { return 0; }
  int stride(int) const { return 0; }
};

}  // namespace

template <>
inline constexpr bool distill::enable_matrix_like<my_tensor> = false;

TEST_CASE("matrix_view describes compact row-major memory") {
  std::vector<float> memory = {0, 1, 2, 3, 4, 5};
  const matrix_view view(memory.data(), 2, 3);
  CHECK(view.data_handle() == memory.data());
  CHECK(view.rows() == 2);
  CHECK(view.columns() == 3);
  CHECK(view.extent(0) == 2);
  CHECK(view.extent(1) == 3);
  CHECK(view.stride(0) == 3);
  CHECK(view.stride(1) == 1);
  CHECK(view(1, 2) == 5);
  view(1, 2) = 9;
  CHECK(memory[5] == 9);
}

TEST_CASE("matrix_view follows strides, negative ones too") {
  const std::vector<double> memory = {0, 1, 2, 3, 4, 5};
  const matrix_view columns(memory.data(), 2, 3, 1, 2);
  CHECK(columns(1, 2) == 5);
  CHECK(columns(0, 1) == 2);
  const matrix_view backwards(memory.data() + 5, 2, 3, -3, -1);
  CHECK(backwards(0, 0) == 5);
  CHECK(backwards(1, 2) == 0);
}

TEST_CASE("matrix_view of a span needs exactly its elements") {
  std::vector<float> memory(6);
  const matrix_view view(std::span<float>(memory), 2, 3);
  CHECK(view.data_handle() == memory.data());
  CHECK_THROWS_WITH(matrix_view(std::span<float>(memory), 2, 4),
                    "matrix_view: the span has 6 elements, 2 x 4 needs 8");
  CHECK_THROWS_AS(matrix_view(std::span<float>(memory), 2, 2), shape_error);
}

TEST_CASE("matrix_view is a cheap value, and const is one way") {
  STATIC_REQUIRE(std::is_trivially_copyable_v<matrix_view<float>>);
  STATIC_REQUIRE(std::is_convertible_v<matrix_view<float>, matrix_view<const float>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<matrix_view<const float>, matrix_view<float>>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<matrix_view<const double>, matrix_view<float>>);
  constexpr matrix_view<const float> empty;
  STATIC_REQUIRE(empty.rows() == 0);
  float memory[4] = {};
  const matrix_view<const float> read_only = matrix_view(memory, 2, 2, 1, 2);
  CHECK(read_only.stride(1) == 2);
}

TEST_CASE("as_view passes a matrix_view through") {
  float memory[4] = {};
  const auto view = as_view(matrix_view(memory, 2, 2, 1, 2));
  STATIC_REQUIRE(std::is_same_v<decltype(view), const matrix_view<float>>);
  CHECK(view.data_handle() == memory);
  CHECK(view.stride(0) == 1);
  CHECK(view.stride(1) == 2);
}

TEST_CASE("as_view accepts what looks like std::mdspan, of rank 2") {
  const std::vector<float> memory = {0, 1, 2, 3, 4, 5};
  const my_mdspan span{memory.data(), {2, 2}, {3, 1}};
  const auto view = as_view(span);
  STATIC_REQUIRE(std::is_same_v<decltype(view), const matrix_view<const float>>);
  CHECK(view(1, 1) == 4);
  CHECK(view.rows() == 2);
  CHECK(view.columns() == 2);
  const ranked_mdspan cube{{memory.data(), {2, 2}, {3, 1}}, 3};
  CHECK_THROWS_WITH(
      as_view(cube),
      "as_view: a matrix has 2 dimensions, this array has 3; see flatten_leading for [batch, sequence, "
      "vocabulary]");
}

TEST_CASE("what is a matrix") {
  STATIC_REQUIRE(matrix_like<matrix_view<float>>);
  STATIC_REQUIRE(matrix_like<const my_mdspan>);
  STATIC_REQUIRE_FALSE(matrix_like<my_tensor>);
  STATIC_REQUIRE_FALSE(matrix_like<std::vector<float>>);
  STATIC_REQUIRE_FALSE(matrix_like<float*>);
  STATIC_REQUIRE_FALSE(matrix_like<std::span<int>>);
}

TEST_CASE("a loss takes any of them, mixed") {
  const float memory[] = {0, 1, 2, 3, 4, 5};
  const double teacher[] = {0, 1, 0, 0, 1, 0};
  float gradient[6];
  const my_mdspan student{memory, {2, 3}, {3, 1}};
  CHECK(forward_kl{}(student, matrix_view(teacher, 2, 3), matrix_view(gradient, 2, 3)) ==
        forward_kl{}(matrix_view(memory, 2, 3), matrix_view(teacher, 2, 3)));
}
