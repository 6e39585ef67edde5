#pragma once

#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class hidden_kind { mse, huber, cosine, normalized_mse };

/// A loss on hidden states lowered to numbers: what crosses into compiled code.
struct hidden_states_loss {
  hidden_kind kind = hidden_kind::mse;
  const char* name = "";
  double delta = 1;

  /// The value of a row is a sum over the width, not a single number.
  bool sums_over_width() const { return kind != hidden_kind::cosine; }
  /// Teacher and student rows are divided by their lengths.
  bool normalizes() const { return kind == hidden_kind::cosine || kind == hidden_kind::normalized_mse; }
};

/// Everything a kernel needs for a range of rows, already checked.
struct hidden_states_job {
  hidden_states_loss loss;
  input_matrix student, teacher;
  output_matrix gradient;  // no data: value only
  vector_view<const float> weights;
  double factor = 1;  // 1 / denominator
  double* values =
      nullptr;  // [rows] out: before the weight; NaN where the compute type's range did not suffice
  bool accumulate = false;
  bool bypass_cache = false;  // the gradient is too large to be worth caching
  // Scratch rows of the compute type, by index, of rows that the kernels cannot use where they are; -1: none.
  int student_copy = -1, teacher_copy = -1, gradient_copy = -1, copies = 0;
  std::size_t pitch = 0;  // elements from one to the next

  std::size_t rows() const { return student.rows; }
  std::size_t width() const { return student.columns; }
  float weight(std::size_t row) const { return weights.empty() ? 1.0f : weights[row]; }
};

/// Value and gradient; checks the arguments first.
double evaluate_hidden_states(const hidden_states_loss& loss, const input_matrix& student,
                              const input_matrix& teacher, const output_matrix& gradient,
                              const row_options& rows);

template <class Student, class Teacher, class Gradient>
double hidden_states_of(const hidden_states_loss& loss, Student&& student, Teacher&& teacher,
                        Gradient&& gradient, const row_options& rows) {
  return evaluate_hidden_states(loss, input_of(std::forward<Student>(student)),
                                input_of(std::forward<Teacher>(teacher)),
                                output_of(std::forward<Gradient>(gradient)), rows);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/alignment/hidden_states-inl.hpp>
#endif
