// What the losses on hidden states and batches must answer, from their definitions in long double. Includes
// nothing of the library.
#pragma once

#include <cmath>
#include <cstddef>
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

// ---- batches

enum class relational { rkd_distance, rkd_angle, similarity_preserving, gram_rows, gram_columns, linear_cka };

inline real huber(real u) { return std::abs(u) <= 1 ? u * u / 2 : std::abs(u) - 0.5L; }

/// ‖x_i - x_j‖ of every pair.
inline matrix distances(const matrix& x) {
  matrix d(x.rows, x.rows);
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.rows; ++j) {
      real sum = 0;
      for (std::size_t c = 0; c < x.classes; ++c)
        sum += (x.at(i, c) - x.at(j, c)) * (x.at(i, c) - x.at(j, c));
      d.at(i, j) = std::sqrt(sum);
    }
  return d;
}

inline matrix normalized_distances(const matrix& x) {
  matrix d = distances(x);
  real sum = 0;
  for (const real v : d.values) sum += v;
  const real mean = sum / (x.rows * (x.rows - 1));
  for (real& v : d.values) v = mean == 0 ? 0 : v / mean;
  return d;
}

inline real cosine(const matrix& x, std::size_t i, std::size_t j, std::size_t k) {
  real product = 0, a = 0, b = 0;
  for (std::size_t c = 0; c < x.classes; ++c) {
    const real u = x.at(i, c) - x.at(j, c), v = x.at(k, c) - x.at(j, c);
    product += u * v, a += u * u, b += v * v;
  }
  return a == 0 || b == 0 ? 0 : product / std::sqrt(a * b);
}

/// x xᵀ, or xᵀ x.
inline matrix gram(const matrix& x, bool of_columns = false) {
  const std::size_t n = of_columns ? x.classes : x.rows, depth = of_columns ? x.rows : x.classes;
  matrix g(n, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t c = 0; c < depth; ++c)
        g.at(i, j) += of_columns ? x.at(c, i) * x.at(c, j) : x.at(i, c) * x.at(j, c);
  return g;
}

inline matrix centered(matrix x) {
  for (std::size_t c = 0; c < x.classes; ++c) {
    real mean = 0;
    for (std::size_t i = 0; i < x.rows; ++i) mean += x.at(i, c) / x.rows;
    for (std::size_t i = 0; i < x.rows; ++i) x.at(i, c) -= mean;
  }
  return x;
}

inline real mean_square(const matrix& a, real scale_a, const matrix& b, real scale_b) {
  real sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const real d = a.values[i] * scale_a - b.values[i] * scale_b;
    sum += d * d / a.values.size();
  }
  return sum;
}

inline void normalize_rows(matrix& m) {
  for (std::size_t i = 0; i < m.rows; ++i) {
    const real length = length_of(&m.at(i, 0), m.classes);
    for (std::size_t j = 0; j < m.classes && length > 0; ++j) m.at(i, j) /= length;
  }
}

inline real relational_value(relational kind, const matrix& s, const matrix& t) {
  const std::size_t n = s.rows;
  real value = 0;
  switch (kind) {
    case relational::rkd_distance: {
      const matrix a = normalized_distances(s), b = normalized_distances(t);
      for (std::size_t i = 0; i < a.values.size(); ++i) value += huber(a.values[i] - b.values[i]);
      return value / (n * (n - 1));
    }
    case relational::rkd_angle:
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
          for (std::size_t k = 0; k < n; ++k)
            if (i != j && j != k && i != k) value += huber(cosine(s, i, j, k) - cosine(t, i, j, k));
      return value / (n * (n - 1) * (n - 2));
    case relational::similarity_preserving: {
      matrix a = gram(s), b = gram(t);
      normalize_rows(a);
      normalize_rows(b);
      return mean_square(a, 1, b, 1);
    }
    case relational::gram_rows:
      return mean_square(gram(s), 1.0L / s.classes, gram(t), 1.0L / t.classes);
    case relational::gram_columns:
      return mean_square(gram(s, true), 1.0L / n, gram(t, true), 1.0L / n);
    case relational::linear_cka: {
      const matrix a = gram(centered(s)), b = gram(centered(t));
      const real la = length_of(a.values.data(), n * n), lb = length_of(b.values.data(), n * n);
      for (std::size_t i = 0; i < n * n; ++i)
        value += (a.values[i] / la - b.values[i] / lb) * (a.values[i] / la - b.values[i] / lb);
      return value / 2;
    }
  }
  return value;
}

/// By central differences of the value.
inline matrix relational_gradient(relational kind, matrix s, const matrix& t) {
  matrix gradient(s.rows, s.classes);
  const real step = 1e-5L;
  for (std::size_t i = 0; i < s.values.size(); ++i) {
    const real kept = s.values[i];
    s.values[i] = kept + step;
    const real above = relational_value(kind, s, t);
    s.values[i] = kept - step;
    gradient.values[i] = (above - relational_value(kind, s, t)) / (2 * step);
    s.values[i] = kept;
  }
  return gradient;
}

}  // namespace feature_oracle
