// What every loss must answer, computed from its definition in long double. Includes nothing of the library.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace oracle {

enum class formula {
  forward_kl,
  reverse_kl,
  jensen_shannon,
  skewed_forward_kl,
  skewed_reverse_kl,
  total_variation,
  alpha_beta,
  soft_cross_entropy,
  cross_entropy,
  logit_mse,
  pearson_chi2,
  decoupled_kl,
  standardized_kl,
  adaptive_kl,
  taid_kl,
  corrected_kl
};

struct matrix {
  std::size_t rows = 0, classes = 0;
  std::vector<long double> values;

  matrix() = default;
  matrix(std::size_t rows_, std::size_t classes_)
      : rows(rows_), classes(classes_), values(rows_ * classes_) {}
  long double& at(std::size_t row, std::size_t c) { return values[row * classes + c]; }
  const long double& at(std::size_t row, std::size_t c) const { return values[row * classes + c]; }
};

struct loss {
  formula kind = formula::forward_kl;
  long double student_temperature = 1, teacher_temperature = 1;
  bool temperature_squared = true;
  long double alpha = 0, beta = 0;  // also what the losses that transform a row call otherwise
  std::vector<long long> labels = {};
  long long ignore_index = -100;
  long double label_smoothing = 0;
  long double coefficient = 1;
};

enum class divisor { one, counted_rows, counted_elements };

struct rows {
  divisor divided_by = divisor::counted_rows;
  std::vector<long double> weights = {};  // empty: 1
  std::optional<long double> denominator = std::nullopt;
};

struct answer {
  long double value = 0;
  std::vector<long double> row_values;
  matrix gradient;
};

std::vector<long double> softmax(const long double* logits, std::size_t classes, long double temperature);

/// The weighted sum of the losses, each with its own denominator. Rows of weight 0 are not read.
answer evaluate(const std::vector<loss>& losses, const matrix& student, const matrix& teacher,
                const rows& how = {});
inline answer evaluate(const loss& one, const matrix& student, const matrix& teacher, const rows& how = {}) {
  return evaluate(std::vector<loss>{one}, student, teacher, how);
}

}  // namespace oracle
