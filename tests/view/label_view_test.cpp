#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <distill/loss/label_view.hpp>
#include <span>
#include <vector>

using namespace distill;

TEST_CASE("label_view reads the three integer types") {
  const std::vector<std::int32_t> of_32 = {3, -100};
  const std::vector<std::int64_t> of_64 = {std::int64_t{1} << 40, -100};
  const std::array<std::uint8_t, 2> of_8 = {255, 0};
  CHECK(label_view(of_32)[0] == 3);
  CHECK(label_view(of_32)[1] == -100);
  CHECK(label_view(of_32).byte_stride() == 4);
  CHECK(label_view(of_64)[0] == std::int64_t{1} << 40);
  CHECK(label_view(of_64).byte_stride() == 8);
  CHECK(label_view(of_8)[0] == 255);
  CHECK(label_view(of_8).byte_stride() == 1);
  CHECK(label_view(of_8).size() == 2);
  CHECK(label_view().size() == 0);
}

TEST_CASE("label_view follows strides, spans and arrays") {
  const std::int32_t memory[] = {1, 2, 3, 4};
  CHECK(label_view(memory)[3] == 4);
  const label_view every_other = vector_view<const std::int32_t>(memory, 2, 2);
  CHECK(every_other[1] == 3);
  CHECK(every_other.byte_stride() == 8);
  const label_view of_span = std::span<const std::int32_t>(memory);
  CHECK(of_span == label_view(memory));
  CHECK(of_span != every_other);
}

TEST_CASE("label_view does not take floating-point labels") {
  STATIC_REQUIRE_FALSE(std::is_constructible_v<label_view, std::vector<float>&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<label_view, std::vector<std::uint16_t>&>);
}
