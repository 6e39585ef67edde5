// The three means and the divergences from the mean, called by kind, and what they must answer.
#pragma once

#include <distill/teacher/divergences_from_mean.hpp>
#include <distill/teacher/mean_of_log_probabilities.hpp>
#include <distill/teacher/mean_of_logits.hpp>
#include <distill/teacher/mean_of_probabilities.hpp>

#include "teacher/teacher_cases.hpp"

namespace mixing_cases {

using namespace teacher_cases;
using teacher_oracle::kind;

inline constexpr kind all_kinds[] = {kind::probabilities, kind::log_probabilities, kind::logits};

template <class Output>
void mix(kind how, const distill::teacher_list& teachers, Output output, double temperature,
         const distill::mixing_options& options = {}) {
  switch (how) {
    case kind::probabilities:
      return distill::mean_of_probabilities{.temperature = temperature}(teachers, output, options);
    case kind::log_probabilities:
      return distill::mean_of_log_probabilities{.temperature = temperature}(teachers, output, options);
    case kind::logits:
      return distill::mean_of_logits{}(teachers, output, options);
  }
}

/// The same row of several matrices.
template <class T>
std::vector<teacher_oracle::row> rows_of(const std::vector<support::guarded_matrix<T>>& teachers,
                                         std::size_t row) {
  std::vector<teacher_oracle::row> result;
  for (const auto& teacher : teachers) result.push_back(row_of(teacher, row));
  return result;
}

template <class T>
std::vector<support::guarded_matrix<T>> random_teachers(std::size_t count, std::size_t rows,
                                                        std::size_t classes, support::layout how,
                                                        double deviation = 3) {
  std::vector<support::guarded_matrix<T>> result;
  for (std::size_t i = 0; i < count; ++i)
    result.emplace_back(rows, normal_logits(rows * classes, 100 * classes + i, deviation), how, i);
  return result;
}

template <class T>
distill::teacher_list list_of(const std::vector<support::guarded_matrix<T>>& teachers) {
  distill::teacher_list result;
  for (const auto& teacher : teachers) result.add(teacher.view());
  return result;
}

}  // namespace mixing_cases
