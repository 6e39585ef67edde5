#include <catch2/catch.hpp>
#include <distill/alignment/head_map.hpp>

using distill::head_map;

namespace {

std::vector<std::size_t> heads_of(const head_map& map, std::size_t head, std::size_t students,
                                  std::size_t teachers) {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < map.count(head, students, teachers); ++i)
    result.push_back(map.teacher_head(head, i, students, teachers));
  return result;
}
using heads = std::vector<std::size_t>;

}  // namespace

TEST_CASE("the teacher heads of a student head") {
  CHECK(heads_of({}, 3, 4, 4) == heads{3});
  CHECK(heads_of(head_map::mean(), 1, 2, 6) == heads{3, 4, 5});
  CHECK(heads_of(head_map::shared(), 5, 8, 2) == heads{1});
  CHECK(heads_of(head_map::selection({7, 2}), 1, 2, 8) == heads{2});
  CHECK(heads_of(head_map::of({{1}, {0, 3}}), 1, 2, 4) == heads{0, 3});
}

TEST_CASE("head maps are values") {
  CHECK(head_map() == head_map::one_to_one());
  CHECK(head_map() != head_map::mean());
  CHECK(head_map::selection({1, 2}) == head_map::of({{1}, {2}}));
  CHECK(head_map::selection({1, 2}) != head_map::selection({2, 1}));
}
