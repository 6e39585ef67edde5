// Every entry that a row has, and what it must be.
#pragma once

#include <distill/teacher/row_statistics.hpp>

#include "teacher/teacher_cases.hpp"

namespace statistics_cases {

using namespace distill;
using namespace teacher_cases;

struct entries {
  std::vector<double> log_sum_exp, entropy, largest, label_log, other, mean, deviation, length;
  std::vector<std::int64_t> classes;

  explicit entries(std::size_t n)
      : log_sum_exp(n, 7),
        entropy(n, 7),
        largest(n, 7),
        label_log(n, 7),
        other(n, 7),
        mean(n, 7),
        deviation(n, 7),
        length(n, 7),
        classes(n, 7) {}
  row_statistics all() {
    return {log_sum_exp, entropy, largest, classes, label_log, other, mean, deviation, length};
  }
  bool operator==(const entries&) const = default;
};

inline std::vector<std::int32_t> labels_of(std::size_t n, std::size_t classes) {
  std::vector<std::int32_t> labels(n);
  for (std::size_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i * 7 % classes);
  return labels;
}

struct allowed_error {
  long double relative, absolute;
};
inline constexpr allowed_error single{2e-6L, 1e-6L}, twofold{1e-13L, 1e-14L};

template <class T>
void check_row(const teacher_oracle::row& z, const entries& got, std::size_t row, std::size_t label, double t,
               const allowed_error& e) {
  long double least = z[0], most = z[0], size = 0;
  for (long double x : z)
    least = std::min(least, x), most = std::max(most, x), size = std::max(size, std::abs(x));
  const long double absolute = e.absolute * (1 + (most - least) / t);
  const teacher_oracle::row l = teacher_oracle::log_softmax(z, t);
  INFO("row " << row << " of " << z.size() << " classes, " << name_of(element_traits<T>::type)
              << ", temperature " << t);
  CHECK(near(got.log_sum_exp[row], teacher_oracle::log_sum_exp(z, t), 1e-15L, absolute));
  CHECK(near(got.entropy[row], teacher_oracle::entropy(z, t), e.relative));
  CHECK(near(got.largest[row], teacher_oracle::largest_probability(z, t), e.relative));
  CHECK(near(got.label_log[row], l[label], 1e-15L, absolute));
  CHECK(near(got.other[row], teacher_oracle::others(z, label, t), e.relative));
  CHECK(near(got.mean[row], teacher_oracle::mean(z), 0, e.relative * size));
  CHECK(near(got.deviation[row], teacher_oracle::deviation(z), e.relative, e.relative * size / 10));
  CHECK(near(got.length[row], teacher_oracle::length(z), e.relative));
  CHECK(z[static_cast<std::size_t>(got.classes[row])] == most);
}

}  // namespace statistics_cases
