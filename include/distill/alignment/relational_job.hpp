#pragma once

#include <distill/alignment/matrix_product.hpp>
#include <distill/alignment/relational_options.hpp>
#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class relational_kind {
  rkd_distance,
  rkd_angle,
  similarity_preserving,
  gram_rows,
  gram_columns,
  linear_cka
};

/// Value and gradient of a loss on a whole batch; checks the arguments first.
double evaluate_relational(relational_kind kind, const char* name, const input_matrix& student,
                           const input_matrix& teacher, const output_matrix& gradient,
                           const relational_options& options);

template <class Student, class Teacher, class Gradient>
double relational_of(relational_kind kind, const char* name, Student&& student, Teacher&& teacher,
                     Gradient&& gradient, const relational_options& options) {
  return evaluate_relational(kind, name, input_of(std::forward<Student>(student)),
                             input_of(std::forward<Teacher>(teacher)),
                             output_of(std::forward<Gradient>(gradient)), options);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/alignment/relational-inl.hpp>
#endif
