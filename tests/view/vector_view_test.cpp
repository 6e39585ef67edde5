#include <array>
#include <catch2/catch.hpp>
#include <distill/view/vector_view.hpp>
#include <span>
#include <type_traits>
#include <vector>

using namespace distill;

TEST_CASE("vector_view describes any contiguous run") {
  std::vector<float> vector = {1, 2, 3};
  const std::array<float, 3> array = {4, 5, 6};
  const float plain[] = {7, 8, 9};
  const vector_view<const float> of_vector = vector, of_array = array, of_plain = plain;
  const vector_view<const float> of_span = std::span<float>(vector);
  CHECK(of_vector[2] == 3);
  CHECK(of_array[0] == 4);
  CHECK(of_plain[1] == 8);
  CHECK(of_plain.size() == 3);
  CHECK(of_span.data_handle() == vector.data());
  CHECK(of_span.extent(0) == 3);
}

TEST_CASE("vector_view follows its stride") {
  double memory[] = {0, 1, 2, 3, 4};
  const vector_view<double> view(memory, 3, 2);
  CHECK(view[2] == 4);
  CHECK(view.stride() == 2);
  view[1] = 9;
  CHECK(memory[2] == 9);
  const vector_view<double> backwards(memory + 4, 5, -1);
  CHECK(backwards[4] == 0);
}

TEST_CASE("vector_view is empty by default, const is one way, and temporaries do not bind") {
  CHECK(vector_view<const float>().empty());
  STATIC_REQUIRE(std::is_convertible_v<vector_view<float>, vector_view<const float>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<vector_view<const float>, vector_view<float>>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<vector_view<float>, const std::vector<float>&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<vector_view<const float>, std::vector<double>&>);
}
