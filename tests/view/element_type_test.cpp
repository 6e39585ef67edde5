#include <catch2/catch.hpp>
#include <distill/view/element_type.hpp>
#include <string>

using namespace distill;

TEST_CASE("element types know their size and name") {
  CHECK(size_of(element_traits<float>::type) == sizeof(float));
  CHECK(size_of(element_traits<double>::type) == sizeof(double));
  CHECK(size_of(element_traits<bfloat16>::type) == sizeof(bfloat16));
  CHECK(size_of(element_traits<float16>::type) == sizeof(float16));
  CHECK(name_of(element_type::float32) == std::string("float32"));
  CHECK(name_of(element_type::float64) == std::string("float64"));
  CHECK(name_of(element_type::bfloat16) == std::string("bfloat16"));
  CHECK(name_of(element_type::float16) == std::string("float16"));
}

TEST_CASE("what is an element") {
  STATIC_REQUIRE(element<float>);
  STATIC_REQUIRE(element<const double>);
  STATIC_REQUIRE(element<bfloat16>);
  STATIC_REQUIRE(element<const float16>);
  STATIC_REQUIRE_FALSE(element<int>);
  STATIC_REQUIRE_FALSE(element<long double>);
  STATIC_REQUIRE_FALSE(element<float*>);
}
