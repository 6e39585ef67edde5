// Random teachers in any memory.
#pragma once

#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"
#include "teacher/teacher_oracle.hpp"

namespace teacher_cases {

inline constexpr double infinity = std::numeric_limits<double>::infinity();

using support::on_every_target;

// Vectors hold 4, 8 or 16 floats; 1, N - 1, N, N + 1, 8 N + 2 of each.
inline constexpr std::size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 130, 258, 1100};

inline std::vector<double> normal_logits(std::size_t count, std::uint64_t seed, double deviation = 3) {
  support::random_source random(seed);
  std::vector<double> result(count);
  for (double& x : result) x = deviation * random.normal();
  return result;
}

/// A row of a matrix as it is in memory.
template <class T>
teacher_oracle::row row_of(const support::guarded_matrix<T>& m, std::size_t row) {
  teacher_oracle::row result(m.classes());
  for (std::size_t c = 0; c < m.classes(); ++c) result[c] = m.at(row, c);
  return result;
}

/// Whether two numbers are as near as stated, or the same infinity, or both NaN.
inline bool near(long double got, long double expected, long double relative, long double absolute = 0) {
  if (std::isnan(expected) || std::isnan(got)) return std::isnan(expected) && std::isnan(got);
  if (std::isinf(expected) || std::isinf(got)) return got == expected;
  return std::abs(got - expected) <= relative * std::abs(expected) + absolute;
}

}  // namespace teacher_cases
