#include <array>
#include <catch2/catch.hpp>
#include <distill/view/flatten_leading.hpp>
#include <numeric>
#include <vector>

using namespace distill;

namespace {
struct cube {
  const float* data;
  std::array<int, 3> extents, strides;
  int rank_ = 3;
  const float* data_handle() const { return data; }
  int rank() const { return rank_; }
  int extent(int i) const { return extents[static_cast<std::size_t>(i)]; }
  int stride(int i) const { return strides[static_cast<std::size_t>(i)]; }
};
}  // namespace

TEST_CASE("flatten_leading merges batch and sequence") {
  std::vector<float> memory(24);
  std::iota(memory.begin(), memory.end(), 0.0f);
  const auto compact = flatten_leading(memory.data(), 2, 3, 4);
  CHECK(compact.rows() == 6);
  CHECK(compact.columns() == 4);
  CHECK(compact(4, 1) == 17);
  const auto of_cube = flatten_leading(cube{memory.data(), {2, 3, 4}, {12, 4, 1}});
  CHECK(of_cube(4, 1) == 17);
  // The first two of four classes, and classes along the sequence's stride.
  const auto truncated = flatten_leading(memory.data(), 2, 3, 2, 12, 4, 1);
  CHECK(truncated.columns() == 2);
  CHECK(truncated(5, 1) == 21);
  const auto transposed = flatten_leading(memory.data(), 2, 3, 4, 3, 1, 6);
  CHECK(transposed(4, 2) == 16);
}

TEST_CASE("flatten_leading: a dimension of extent 1 merges whatever its stride") {
  std::vector<float> memory(24);
  std::iota(memory.begin(), memory.end(), 0.0f);
  const auto one_batch = flatten_leading(memory.data(), 1, 3, 4, 999, 4, 1);
  CHECK(one_batch(2, 0) == 8);
  const auto one_step = flatten_leading(memory.data(), 3, 1, 4, 8, 999, 1);
  CHECK(one_step(2, 0) == 16);
  CHECK(one_step.stride(0) == 8);
}

TEST_CASE("flatten_leading refuses rows that are not evenly spaced") {
  std::vector<float> memory(40);
  CHECK_THROWS_WITH(
      flatten_leading(memory.data(), 2, 3, 4, 16, 4, 1),
      "flatten_leading: batch stride 16 is not 3 x sequence stride 4, so the rows are not evenly spaced");
  CHECK_THROWS_AS(flatten_leading(cube{memory.data(), {2, 3, 4}, {4, 8, 1}}), layout_error);
  CHECK_THROWS_WITH(flatten_leading(cube{memory.data(), {2, 3, 4}, {12, 4, 1}, 2}),
                    "flatten_leading: needs [batch, sequence, vocabulary], this array has 2 dimensions");
}
