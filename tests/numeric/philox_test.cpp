// The counter-based generator: its authors' known answers, and that streams are what they say.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/numeric/philox.hpp>
#include <set>

using distill::philox;
using distill::random_stream;

TEST_CASE("the known answers of Philox4x32-10") {
  using words = std::array<std::uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  const std::uint32_t ones = 0xffffffffu;
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
        words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}) ==
        words{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
  static_assert(philox({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5u);
}

TEST_CASE("every part of an element's address counts") {
  const std::uint64_t high = std::uint64_t{1} << 32;
  std::set<double> seen;
  for (const random_stream& stream :
       {random_stream{}, {.seed = 1}, {.seed = high}, {.step = 1}, {.step = high}})
    for (const std::size_t row : {0, 1})
      for (const std::size_t column : {0, 1}) seen.insert(stream.uniform(row, column));
  CHECK(seen.size() == 20);
  CHECK(random_stream{.seed = 3}.normal(1, 2) == random_stream{.seed = 3}.normal(1, 2));
}

TEST_CASE("uniform and normal numbers have their moments") {
  const random_stream stream{.seed = 42, .step = 7};
  constexpr std::size_t rows = 200, columns = 200;
  double mean = 0, square = 0, normal_mean = 0, normal_square = 0, fourth = 0, product = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      const double u = stream.uniform(r, c), z = stream.normal(r, c);
      CHECK((u > 0 && u < 1 && std::abs(z) < 6.9));
      mean += u, square += u * u;
      normal_mean += z, normal_square += z * z, fourth += z * z * z * z, product += (u - 0.5) * z;
    }
  const double n = rows * columns, slack = 5 / std::sqrt(n);
  CHECK(std::abs(mean / n - 0.5) < 0.29 * slack);
  CHECK(std::abs(square / n - 1.0 / 3) < 0.3 * slack);
  CHECK(std::abs(normal_mean / n) < slack);
  CHECK(std::abs(normal_square / n - 1) < 1.5 * slack);
  CHECK(std::abs(fourth / n - 3) < 10 * slack);
  CHECK(std::abs(product / n) < 0.29 * slack);
}
