#pragma once

// What the attention losses must answer, computed from their definitions in long double with the whole map in
// hand. Includes nothing of the library.

#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

namespace attention_oracle {

using number = long double;

/// [batch, heads, rows, columns], row-major.
struct tensor {
  std::size_t batch = 0, heads = 0, rows = 0, columns = 0;
  std::vector<number> values;

  tensor() = default;
  tensor(std::size_t b, std::size_t h, std::size_t r, std::size_t c)
      : batch(b), heads(h), rows(r), columns(c), values(b * h * r * c) {}
  std::size_t index(std::size_t b, std::size_t h, std::size_t r, std::size_t c) const {
    return ((b * heads + h) * rows + r) * columns + c;
  }
  number& at(std::size_t b, std::size_t h, std::size_t r, std::size_t c) { return values[index(b, h, r, c)]; }
  number at(std::size_t b, std::size_t h, std::size_t r, std::size_t c) const {
    return values[index(b, h, r, c)];
  }
};

enum class formula { kl, mse };
enum class divisor { one, rows, pairs };

/// Whether a query of a sample sees a key.
using visibility = std::function<bool(std::size_t sample, std::size_t query, std::size_t key)>;
/// The teacher heads of a student head.
using heads_of = std::function<std::vector<std::size_t>(std::size_t student_head)>;

inline bool everything(std::size_t, std::size_t, std::size_t) { return true; }
inline std::vector<std::size_t> same_head(std::size_t head) { return {head}; }

struct answer {
  number value = 0;
  std::vector<number> row_values;
  tensor gradient;
};

inline answer of_maps(formula kind, const tensor& student, const tensor& teacher,
                      const visibility& visible = everything, const heads_of& heads = same_head,
                      divisor by = divisor::rows) {
  answer result;
  result.gradient = tensor(student.batch, student.heads, student.rows, student.columns);
  number counted = 0;
  for (std::size_t b = 0; b < student.batch; ++b)
    for (std::size_t h = 0; h < student.heads; ++h)
      for (std::size_t i = 0; i < student.rows; ++i) {
        std::vector<std::size_t> keys;
        for (std::size_t j = 0; j < student.columns; ++j)
          if (visible(b, i, j)) keys.push_back(j);
        number row = 0;
        const std::vector<std::size_t> from = heads(h);
        const auto softmax = [&](const tensor& x, std::size_t head) {
          number most = -std::numeric_limits<number>::infinity(), sum = 0;
          for (const std::size_t j : keys) most = std::max(most, x.at(b, head, i, j));
          std::vector<number> p;
          for (const std::size_t j : keys) sum += p.emplace_back(std::exp(x.at(b, head, i, j) - most));
          for (number& each : p) each /= sum;
          return p;
        };
        for (const std::size_t head : from) {
          const number share = number{1} / static_cast<number>(from.size());
          if (kind == formula::mse) {
            for (const std::size_t j : keys) {
              const number off = student.at(b, h, i, j) - teacher.at(b, head, i, j);
              row += share * off * off;
              result.gradient.at(b, h, i, j) += share * 2 * off;
            }
            continue;
          }
          const std::vector<number> q = softmax(student, h), p = softmax(teacher, head);
          for (std::size_t k = 0; k < keys.size(); ++k) {
            if (p[k] > 0) row += share * p[k] * std::log(p[k] / q[k]);
            result.gradient.at(b, h, i, keys[k]) += share * (q[k] - p[k]);
          }
        }
        result.row_values.push_back(row);
        result.value += row;
        if (!keys.empty()) counted += by == divisor::pairs ? static_cast<number>(keys.size()) : 1;
      }
  if (by == divisor::one || counted == 0) counted = 1;
  result.value /= counted;
  for (number& g : result.gradient.values) g /= counted;
  return result;
}

/// scale * Q Kᵀ, consecutive heads of Q sharing the heads of K.
inline tensor scores(const tensor& q, const tensor& k, number scale) {
  tensor s(q.batch, q.heads, q.rows, k.rows);
  for (std::size_t b = 0; b < q.batch; ++b)
    for (std::size_t h = 0; h < q.heads; ++h)
      for (std::size_t i = 0; i < q.rows; ++i)
        for (std::size_t j = 0; j < k.rows; ++j) {
          number sum = 0;
          for (std::size_t c = 0; c < q.columns; ++c)
            sum += q.at(b, h, i, c) * k.at(b, h / (q.heads / k.heads), j, c);
          s.at(b, h, i, j) = scale * sum;
        }
  return s;
}

/// From the gradient of the scores to those of Q and K.
inline void backward(const tensor& gradient, const tensor& q, const tensor& k, number scale, tensor& dq,
                     tensor& dk) {
  dq = tensor(q.batch, q.heads, q.rows, q.columns);
  dk = tensor(k.batch, k.heads, k.rows, k.columns);
  for (std::size_t b = 0; b < q.batch; ++b)
    for (std::size_t h = 0; h < q.heads; ++h)
      for (std::size_t i = 0; i < q.rows; ++i)
        for (std::size_t j = 0; j < k.rows; ++j)
          for (std::size_t c = 0; c < q.columns; ++c) {
            const std::size_t shared = h / (q.heads / k.heads);
            dq.at(b, h, i, c) += scale * gradient.at(b, h, i, j) * k.at(b, shared, j, c);
            dk.at(b, shared, j, c) += scale * gradient.at(b, h, i, j) * q.at(b, h, i, c);
          }
}

/// All heads side by side, cut into `heads` again.
inline tensor split_again(const tensor& x, std::size_t heads) {
  const std::size_t width = x.heads * x.columns / heads;
  tensor result(x.batch, heads, x.rows, width);
  for (std::size_t b = 0; b < x.batch; ++b)
    for (std::size_t i = 0; i < x.rows; ++i)
      for (std::size_t c = 0; c < heads * width; ++c)
        result.at(b, c / width, i, c % width) = x.at(b, c / x.columns, i, c % x.columns);
  return result;
}

}  // namespace attention_oracle
