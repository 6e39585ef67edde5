#include "problem/problem.hpp"

#include <algorithm>
#include <bit>
#include <random>

namespace benchmarks {
namespace {

template <class Element>
void fill(problem<Element>& target) {
  constexpr float logit_deviation = 3.0F;
  constexpr float near_equal_deviation = 0.05F;
  std::minstd_rand generator(20231U);
  std::normal_distribution<float> normal;
  const bool near_equal = target.data == data_set::near_equal;
  for (std::size_t i = 0; i < target.extent.elements(); ++i) {
    const float teacher = logit_deviation * normal(generator);
    const float other = normal(generator);
    target.teacher[i] = from_float<Element>(teacher);
    target.student[i] =
        from_float<Element>(near_equal ? teacher + near_equal_deviation * other : logit_deviation * other);
  }
  for (auto& label : target.labels) {
    label = static_cast<std::int64_t>(generator() % target.extent.columns);
  }
}

}  // namespace

std::string to_string(const shape& extent) {
  const auto text = std::to_string(extent.rows) + "x" + std::to_string(extent.columns);
  return extent.order == storage_order::rows ? text : text + "-columns";
}

shape first_rows(const shape& extent, std::size_t elements) {
  const std::size_t rows = std::max<std::size_t>(2, elements / extent.columns);
  return {std::min(extent.rows, rows), extent.columns, extent.order};
}

float to_float(bfloat16_bits value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16U); }

template <>
float from_float<float>(float value) {
  return value;
}

template <>
bfloat16_bits from_float<bfloat16_bits>(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t to_nearest_even = 0x7FFFU + ((bits >> 16U) & 1U);
  return static_cast<bfloat16_bits>((bits + to_nearest_even) >> 16U);
}

template <class Element>
problem<Element>::problem(const shape& extent_, data_set data_)
    : extent(extent_),
      data(data_),
      student(extent.elements()),
      teacher(extent.elements()),
      output(extent.elements()),
      labels(extent.rows) {
  fill(*this);
}

template struct problem<float>;
template struct problem<bfloat16_bits>;

}  // namespace benchmarks
