#include <cmath>

#include "oracle/oracle.hpp"

namespace benchmarks::oracle {
namespace {

long double length_of(std::span<const long double> row) {
  long double sum = 0;
  for (const long double x : row) sum += x * x;
  return std::sqrt(sum);
}

oracle_rule directions(const char* name, long double scale) {
  return {name, [=](const row_logits& row, std::span<long double> gradient) {
            const long double student = length_of(row.student), teacher = length_of(row.teacher);
            long double cosine = 0;
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              cosine += row.student[i] / student * row.teacher[i] / teacher;
            }
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              gradient[i] = scale * (cosine * row.student[i] / student - row.teacher[i] / teacher) / student;
            }
            return scale * (1 - cosine);
          }};
}

}  // namespace

oracle_rule hidden_mse() {
  return {"hidden_mse", [](const row_logits& row, std::span<long double> gradient) {
            long double value = 0;
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              const long double difference = row.student[i] - row.teacher[i];
              value += difference * difference;
              gradient[i] = 2 * difference;
            }
            return value;
          }};
}

oracle_rule hidden_huber() {
  return {"hidden_huber", [](const row_logits& row, std::span<long double> gradient) {
            long double value = 0;
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              const long double difference = row.student[i] - row.teacher[i];
              gradient[i] = std::fmax(-1.0L, std::fmin(1.0L, difference));
              value += gradient[i] * (difference - gradient[i] / 2);
            }
            return value;
          }};
}

oracle_rule hidden_cosine() { return directions("hidden_cosine", 1); }
oracle_rule normalized_mse() { return directions("normalized_mse", 2); }

}  // namespace benchmarks::oracle
