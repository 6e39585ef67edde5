#pragma once

#include <vector>

#include "support/loss_cases.hpp"

namespace support {

/// A temperature for each row, and what becomes of a loss with them: a loss at one temperature for teacher
/// and student takes `student` for both, any other takes both. All differ from each other, unless `mixed`:
/// then every third row has one for both.
struct row_temperatures {
  std::vector<float> student, teacher;

  explicit row_temperatures(std::size_t rows, bool mixed = false) : student(rows), teacher(rows) {
    for (std::size_t row = 0; row < rows; ++row) {
      student[row] = 0.6f + 0.375f * static_cast<float>(row % 12);
      teacher[row] = mixed && row % 3 == 0 ? student[row] : 0.7f + 0.25f * static_cast<float>(row % 16);
    }
  }

  loss_case given_to(const loss_case& loss) const {
    loss_case result = loss;
    for (distill::loss_term& term : result.terms)
      term = term.with_temperatures(
          student, is_one(term) ? std::nullopt : std::optional<distill::row_temperature>(teacher));
    return result;
  }
  loss_case of_row(const loss_case& loss, std::size_t row) const {
    loss_case result = loss;
    result.formulas.clear();
    for (distill::loss_term& term : result.terms) {
      const bool one = is_one(term);
      term.temperature = student[row];
      term.teacher_temperature = one ? student[row] : teacher[row];
      result.formulas.push_back(formula_of(term));
    }
    return result;
  }

 private:
  static bool is_one(const distill::loss_term& term) { return term.temperature == term.teacher_temperature; }
};

}  // namespace support
