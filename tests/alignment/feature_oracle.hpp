// What the losses on hidden states and batches must answer, from their definitions in long double. Includes
// nothing of the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "support/oracle.hpp"

namespace feature_oracle {

using oracle::matrix;
using real = long double;

enum class hidden { mse, huber, cosine, normalized_mse };

inline real length_of(const real* row, std::size_t n) {
  real sum = 0;
  for (std::size_t j = 0; j < n; ++j) sum += row[j] * row[j];
  return std::sqrt(sum);
}

/// The value of a row, and its gradient added to `gradient` times `factor`.
inline real hidden_row(hidden kind, real delta, const real* s, const real* t, std::size_t n, real factor,
                       real* gradient) {
  real value = 0;
  if (kind == hidden::mse || kind == hidden::huber) {
    for (std::size_t j = 0; j < n; ++j) {
      const real d = s[j] - t[j];
      const bool square = kind == hidden::mse || std::abs(d) <= delta;
      const real scale = kind == hidden::mse ? 2 : 1;
      value += square ? scale / 2 * d * d : delta * (std::abs(d) - delta / 2);
      gradient[j] += factor * (square ? scale * d : d > 0 ? delta : -delta);
    }
    return value;
  }
  const real a = length_of(s, n), b = length_of(t, n), scale = kind == hidden::cosine ? 1 : 2;
  if (a == 0 || b == 0) return a == 0 && b == 0 ? 0 : 1;
  real along = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const real d = s[j] / a - t[j] / b;
    value += scale / 2 * d * d;
    along += s[j] / a * d;
  }
  for (std::size_t j = 0; j < n; ++j)
    gradient[j] += factor * scale * (s[j] / a - t[j] / b - along * s[j] / a) / a;
  return value;
}

/// Rows of weight 0 are not read. denominator 0: the number of counted rows.
inline oracle::answer hidden_states(hidden kind, real delta, const matrix& s, const matrix& t,
                                    const std::vector<real>& weights = {}, real denominator = 0) {
  oracle::answer answer;
  answer.gradient = matrix(s.rows, s.classes);
  answer.row_values.resize(s.rows);
  real counted = 0;
  for (std::size_t row = 0; row < s.rows; ++row) counted += weights.empty() || weights[row] != 0 ? 1 : 0;
  if (denominator == 0) denominator = counted;
  for (std::size_t row = 0; row < s.rows; ++row) {
    const real weight = weights.empty() ? 1 : weights[row];
    if (weight == 0) continue;
    answer.row_values[row] = weight * hidden_row(kind, delta, &s.at(row, 0), &t.at(row, 0), s.classes,
                                                 weight / denominator, &answer.gradient.at(row, 0));
    answer.value += answer.row_values[row] / denominator;
  }
  return answer;
}

}  // namespace feature_oracle
