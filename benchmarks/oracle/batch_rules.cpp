#include <cmath>

#include "oracle/oracle.hpp"

namespace benchmarks::oracle {
namespace {

using numbers = std::vector<long double>;

numbers softmax_rows(numbers z, const shape& extent) {
  for (std::size_t i = 0; i < extent.rows; ++i) {
    long double* const row = z.data() + i * extent.columns;
    long double largest = row[0], sum = 0;
    for (std::size_t j = 1; j < extent.columns; ++j) largest = std::max(largest, row[j]);
    for (std::size_t j = 0; j < extent.columns; ++j) sum += row[j] = std::exp(row[j] - largest);
    for (std::size_t j = 0; j < extent.columns; ++j) row[j] /= sum;
  }
  return z;
}

/// 1 - r of `count` strided entries, and its derivative by those of a, times scale, added to u.
long double uncorrelated(const long double* a, const long double* b, std::size_t count, std::size_t stride,
                         long double scale, long double* u) {
  const auto n = static_cast<long double>(count);
  long double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < count; ++i) mean_a += a[i * stride] / n, mean_b += b[i * stride] / n;
  for (std::size_t i = 0; i < count; ++i) {
    const long double x = a[i * stride] - mean_a, y = b[i * stride] - mean_b;
    aa += x * x, bb += y * y, ab += x * y;
  }
  const long double r = ab / std::sqrt(aa * bb);
  for (std::size_t i = 0; i < count; ++i) {
    const long double x = a[i * stride] - mean_a, y = b[i * stride] - mean_b;
    u[i * stride] -= scale * (y / std::sqrt(aa * bb) - r * x / aa);
  }
  return scale * (1 - r);
}

/// a^T b / rows of [rows, first] and [rows, second] side by side.
numbers gram(const numbers& maps, std::size_t positions, std::size_t first, std::size_t second) {
  numbers result(first * second);
  for (std::size_t k = 0; k < positions; ++k) {
    const long double* const row = maps.data() + k * (first + second);
    for (std::size_t i = 0; i < first; ++i)
      for (std::size_t j = 0; j < second; ++j) result[i * second + j] += row[i] * row[first + j];
  }
  for (long double& x : result) x /= static_cast<long double>(positions);
  return result;
}

}  // namespace

oracle_rule correlation() {
  oracle_rule rule{"correlation", {}};
  rule.mean_over_rows = false;
  rule.batch = [](const batch_logits& batch, std::span<long double> gradient) {
    const shape& extent = batch.extent;
    const numbers q = softmax_rows({batch.student.begin(), batch.student.end()}, extent),
                  p = softmax_rows({batch.teacher.begin(), batch.teacher.end()}, extent);
    numbers u(q.size());
    long double value = 0;
    for (std::size_t i = 0; i < extent.rows; ++i) {
      const std::size_t at = i * extent.columns;
      value +=
          uncorrelated(&q[at], &p[at], extent.columns, 1, 1 / static_cast<long double>(extent.rows), &u[at]);
    }
    for (std::size_t j = 0; j < extent.columns; ++j)
      value += uncorrelated(&q[j], &p[j], extent.rows, extent.columns,
                            1 / static_cast<long double>(extent.columns), &u[j]);
    for (std::size_t i = 0; i < extent.rows; ++i) {
      long double mean = 0;
      const std::size_t at = i * extent.columns;
      for (std::size_t j = 0; j < extent.columns; ++j) mean += q[at + j] * u[at + j];
      for (std::size_t j = 0; j < extent.columns; ++j) gradient[at + j] = q[at + j] * (u[at + j] - mean);
    }
    return value;
  };
  return rule;
}

oracle_rule fsp(std::size_t positions, std::size_t first) {
  oracle_rule rule{"fsp", {}};
  rule.mean_over_rows = false;
  rule.batch = [=](const batch_logits& batch, std::span<long double> gradient) {
    const std::size_t columns = batch.extent.columns, second = columns - first;
    const std::size_t samples = batch.extent.rows / positions, part = positions * columns;
    const long double entries = static_cast<long double>(samples * first * second);
    long double value = 0;
    for (std::size_t s = 0; s < samples; ++s) {
      const numbers student(batch.student.begin() + static_cast<std::ptrdiff_t>(s * part),
                            batch.student.begin() + static_cast<std::ptrdiff_t>((s + 1) * part)),
          teacher(batch.teacher.begin() + static_cast<std::ptrdiff_t>(s * part),
                  batch.teacher.begin() + static_cast<std::ptrdiff_t>((s + 1) * part));
      numbers slope = gram(student, positions, first, second);
      const numbers target = gram(teacher, positions, first, second);
      for (std::size_t i = 0; i < slope.size(); ++i) {
        slope[i] -= target[i];
        value += slope[i] * slope[i] / entries;
        slope[i] *= 2 / (entries * static_cast<long double>(positions));
      }
      for (std::size_t k = 0; k < positions; ++k) {
        const long double* const row = &student[k * columns];
        long double* const out = &gradient[s * part + k * columns];
        for (std::size_t i = 0; i < columns; ++i) out[i] = 0;
        for (std::size_t i = 0; i < first; ++i)
          for (std::size_t j = 0; j < second; ++j) {
            out[i] += slope[i * second + j] * row[first + j];
            out[first + j] += slope[i * second + j] * row[i];
          }
      }
    }
    return value;
  };
  return rule;
}

}  // namespace benchmarks::oracle
