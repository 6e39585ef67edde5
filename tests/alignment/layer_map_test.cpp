#include <catch2/catch.hpp>
#include <distill/alignment/layer_map.hpp>

using Catch::Matchers::Equals;
using distill::layer_map;
using distill::parameter_error;

namespace {

std::vector<std::size_t> layers(const layer_map& map) { return {map.begin(), map.end()}; }
using list = std::vector<std::size_t>;

}  // namespace

TEST_CASE("the rules of layer maps") {
  CHECK(layers(layer_map::uniform(4, 12)) == list{2, 5, 8, 11});
  CHECK(layers(layer_map::uniform(3, 7)) == list{1, 3, 6});
  CHECK(layers(layer_map::last(3, 12)) == list{9, 10, 11});
  CHECK(layers(layer_map::skip(6, 12, 2)) == list{0, 2, 4, 6, 8, 10});
  CHECK(layers(layer_map::skip(5, 12, 2, 1)) == list{1, 3, 5, 7, 9});
  CHECK(layers(layer_map::first_last(4, 12)) == list{0, 4, 7, 11});
  CHECK(layers(layer_map::first_last(2, 12)) == list{0, 11});
  CHECK(layers(layer_map::first_last(1, 12)) == list{11});
  const layer_map map = layer_map::of(2, 6, {{.student = 1, .teacher = 5}, {.student = 0, .teacher = 2}});
  CHECK(layers(map) == list{2, 5});
  CHECK(map[1] == 5);
  CHECK(map.size() == 2);
  CHECK(map == layer_map::skip(2, 6, 3, 2));
}

TEST_CASE("every rule maps each layer to itself where both models have as many") {
  for (std::size_t n = 1; n < 20; ++n)
    for (const layer_map& map : {layer_map::uniform(n, n), layer_map::last(n, n), layer_map::skip(n, n, 1),
                                 layer_map::first_last(n, n)})
      for (std::size_t i = 0; i < n; ++i) CHECK(map[i] == i);
}

TEST_CASE("layer maps that cannot be") {
  CHECK_THROWS_AS(layer_map::uniform(13, 12), parameter_error);
  CHECK_THROWS_WITH(layer_map::uniform(13, 12),
                    Equals("layer_map::uniform: student has 13 layers, teacher has only 12"));
  CHECK_THROWS_WITH(layer_map::last(13, 12),
                    Equals("layer_map::last: student has 13 layers, teacher has only 12"));
  CHECK_THROWS_WITH(layer_map::first_last(13, 12),
                    Equals("layer_map::first_last: student has 13 layers, teacher has only 12"));
  CHECK_THROWS_WITH(
      layer_map::skip(6, 12, 3),
      Equals("layer_map: student layer 4 is mapped to teacher layer 12, teacher has 12 layers"));
  CHECK_THROWS_WITH(layer_map::skip(6, 12, 0), Equals("layer_map::skip: step must be > 0, got 0"));
  CHECK_THROWS_WITH(layer_map::uniform(0, 12), Equals("layer_map: student has 0 layers"));
  CHECK_THROWS_WITH(layer_map::of(3, 12, {{0, 1}, {2, 4}}),
                    Equals("layer_map: student layer 1 is not mapped"));
  CHECK_THROWS_WITH(layer_map::of(2, 12, {{0, 1}, {0, 4}}),
                    Equals("layer_map: student layer 0 is mapped twice, to 1 and 4"));
  CHECK_THROWS_WITH(layer_map::of(2, 12, {{0, 1}, {2, 4}}),
                    Equals("layer_map: student layer 2 does not exist, student has 2 layers"));
  CHECK_THROWS_WITH(
      layer_map::of(2, 12, {{0, 1}, {1, 12}}),
      Equals("layer_map: student layer 1 is mapped to teacher layer 12, teacher has 12 layers"));
}
