// Dense and bit maps, dense weights, and the way back.
#include <catch2/catch.hpp>
#include <distill/moe/routing_maps.hpp>

#include "moe/routed_batch.hpp"

using namespace routed_batch;
using distill::matrix_view;

TEST_CASE("maps hold exactly the choices") {
  for (const std::size_t experts : {1u, 7u, 8u, 9u, 64u, 65u})
    for (const std::size_t every : {0u, 3u, 1u}) {
      const std::size_t k = std::min<std::size_t>(3, experts), bytes = distill::bit_map_bytes(experts);
      const batch b = random_batch(20, k, experts, experts, every);
      const stored_routing<float> routing(b);
      std::vector<std::uint8_t> dense(20 * experts, 9), bits(20 * bytes, 0xff);
      distill::to_dense_map(routing.view.experts, {dense.data(), 20, experts});
      distill::to_bit_map(routing.view.experts, experts, {bits.data(), 20, bytes});
      for (std::size_t t = 0; t < 20; ++t)
        for (std::size_t e = 0; e < 8 * bytes; ++e) {
          bool chosen = false;
          for (std::size_t j = 0; j < k; ++j) chosen = chosen || b.id(t, j) == static_cast<int>(e);
          if (e < experts) CHECK(dense[t * experts + e] == (chosen ? 1 : 0));
          CHECK((bits[t * bytes + e / 8] >> (e % 8) & 1) == (chosen ? 1 : 0));
        }
      std::vector<int> expected;
      for (std::size_t t = 0; t < 20; ++t) {
        std::vector<int> row(b.ids.begin() + static_cast<int>(t * k),
                             b.ids.begin() + static_cast<int>((t + 1) * k));
        std::sort(row.begin(), row.end(),
                  [](int x, int y) { return static_cast<unsigned>(x) < static_cast<unsigned>(y); });
        expected.insert(expected.end(), row.begin(), row.end());
      }
      std::vector<std::int32_t> from_dense(20 * k, 99), from_bits(20 * k, 99);
      for (auto& byte : dense) byte = static_cast<std::uint8_t>(byte * 200);  // any byte but 0 is a choice
      distill::from_dense_map({dense.data(), 20, experts}, {from_dense.data(), 20, k});
      distill::from_bit_map({bits.data(), 20, bytes}, experts, {from_bits.data(), 20, k});
      CHECK(std::vector<int>(from_dense.begin(), from_dense.end()) == expected);
      CHECK(std::vector<int>(from_bits.begin(), from_bits.end()) == expected);
    }
}

TEST_CASE("bits beyond the last expert are ignored") {
  const std::vector<std::uint8_t> bits{0xff, 0xfe};
  std::vector<std::int32_t> ids(9, 99);
  distill::from_bit_map({bits.data(), 1, 2}, 9, {ids.data(), 1, 9});
  CHECK(ids == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7, -1});
}

TEMPLATE_TEST_CASE("dense weights, and back", "", float, double) {
  const batch b = random_batch(30, 4, 10, 8, 3);
  stored_routing<TestType> routing(b);
  std::vector<TestType> dense(300, 99), back(120, 99);
  distill::to_dense_weights(routing.view.experts, routing.view.weights, {dense.data(), 30, 10});
  std::vector<TestType> expected(300, 0);
  for (std::size_t i = 0; i < 120; ++i)
    if (b.ids[i] >= 0) expected[i / 4 * 10 + static_cast<std::size_t>(b.ids[i])] = routing.weights[i];
  CHECK(dense == expected);
  distill::from_dense_weights({dense.data(), 30, 10}, routing.view.experts, {back.data(), 30, 4});
  CHECK(back == routing.weights);
}

TEST_CASE("an expert chosen twice has the sum of its weights, and each choice its gradient") {
  std::vector<std::int32_t> ids{2, 2};
  const std::vector<double> weights{0.25, 0.5};
  std::vector<double> dense(3, 99), back(2);
  distill::to_dense_weights({ids.data(), 1, 2}, {weights.data(), 1, 2}, {dense.data(), 1, 3});
  CHECK(dense == std::vector<double>{0, 0, 0.75});
  distill::from_dense_weights({dense.data(), 1, 3}, {ids.data(), 1, 2}, {back.data(), 1, 2});
  CHECK(back == std::vector<double>{0.75, 0.75});
}

TEST_CASE("maps in any strides, of no tokens") {
  std::vector<std::int32_t> ids{0, 1, 1, 0};
  std::vector<std::uint8_t> map(4, 7);
  distill::to_dense_map(matrix_view<const std::int32_t>(ids.data(), 2, 1, 3, 1), {map.data(), 2, 2, 1, 2});
  CHECK(map == std::vector<std::uint8_t>{1, 1, 0, 0});
  distill::to_dense_map({ids.data(), 0, 2}, {map.data(), 0, 2});
  distill::from_dense_map({map.data(), 0, 2}, {ids.data(), 0, 1});
  CHECK(map == std::vector<std::uint8_t>{1, 1, 0, 0});
}

TEST_CASE("what maps refuse, and that nothing is written then") {
  std::vector<std::int32_t> ids{0, 1, 3, -1};
  std::vector<std::uint8_t> map(9, 7);
  const matrix_view<const std::int32_t> experts(ids.data(), 2, 2);
  const auto refused = [&](auto f, const std::string& text) {
    CHECK_THROWS_WITH(f(), text);
    CHECK(map == std::vector<std::uint8_t>(9, 7));
    CHECK(ids == std::vector<std::int32_t>{0, 1, 3, -1});
  };
  refused(
      [&] {
        distill::to_dense_map(experts, {map.data(), 2, 3});
      },
      "to_dense_map: experts[1, 0] is 3, must be in [0, 3) or -1");
  refused(
      [&] {
        distill::to_bit_map(experts, 3, {map.data(), 2, 1});
      },
      "to_bit_map: experts[1, 0] is 3, must be in [0, 3) or -1");
  refused(
      [&] {
        distill::to_dense_map(experts, {map.data(), 1, 4});
      },
      "to_dense_map: map has 1 tokens, experts has 2");
  refused(
      [&] {
        distill::to_bit_map(experts, 9, {map.data(), 2, 1});
      },
      "to_bit_map: map has 1 bytes, needs 2");
  refused([&] { distill::to_dense_map(experts, {nullptr, 2, 4}); }, "to_dense_map: map has no memory");
  refused(
      [&] {
        distill::to_dense_map(experts, {map.data(), 2, 4, 0, 1});
      },
      "to_dense_map: map has a stride of 0, so its elements are not distinct");
  refused(
      [&] {
        distill::to_dense_map(experts, {reinterpret_cast<std::uint8_t*>(ids.data()), 2, 4});
      },
      "to_dense_map: map overlaps experts");
  refused(
      [&] {
        distill::from_dense_map({map.data(), 2, 4}, {ids.data(), 2, 2});
      },
      "from_dense_map: map[0] has 4 experts, must be at most 2");
  CHECK_THROWS_AS(distill::to_dense_map(experts, {map.data(), 2, 3}), distill::data_error);
}
