// Definitions of relational_job.hpp: checks, and each loss as steps and products. Compiled once in src/, or
// included by relational_job.hpp in header-only mode.
#pragma once

#include <cmath>
#include <distill/alignment/batch-inl.hpp>
#include <distill/alignment/hidden_states_job.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/loss/check-inl.hpp>
#include <distill/view/require_memory-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void check_relational(relational_kind kind, const char* function, const input_matrix& student,
                             const input_matrix& teacher, const output_matrix& gradient,
                             const relational_options& options) {
  const std::string name = function;
  if (!std::isfinite(options.weight)) throw_parameter(name, "weight", "finite", text_of(options.weight));
  for (const auto& [m, what] : {std::pair{&student, "student"}, std::pair{&teacher, "teacher"}}) {
    if (m->columns == 0) throw shape_error(name + ": " + what + " has 0 columns");
    if (m->rows == 0) throw shape_error(name + ": " + what + " has 0 rows");
    require_extent(name, what, m->rows, "rows", "student", student.rows);
    if (m->data == nullptr) throw layout_error(name + ": " + what + " has no memory");
    require_aligned(name, what, *m);
  }
  if (kind == relational_kind::gram_columns)
    require_extent(name, "teacher", teacher.columns, "columns", "student", student.columns);
  if (!options.row_mask.empty())
    require_extent(name, "row_mask", options.row_mask.size(), "entries", "student", student.rows);
  if (gradient.data == nullptr && gradient.rows == 0) return;
  require_extent(name, "gradient", gradient.rows, "rows", "student", student.rows);
  require_extent(name, "gradient", gradient.columns, "columns", "student", student.columns);
  check_gradient(function, gradient, student, teacher, {.row_weights = options.row_mask});
}

// A loss on hidden states where the Gram matrices take the place of the states; its gradient in place of the
// student's.
template <class T>
double gram_distance(const batch<T>& b, hidden_kind kind, std::size_t rows, std::size_t columns,
                     double denominator, bool has_gradient) {
  workspace scratch({b.rest, b.rest_bytes});
  row_options how;
  how.denominator = denominator;
  how.executor = b.options.executor;
  how.workspace = &scratch;
  const matrix_view<T> student(b.first, rows, columns);
  const hidden_states_loss loss{.kind = kind, .name = "gram"};
  return evaluate_hidden_states(loss, student, matrix_view<const T>(b.second, rows, columns),
                                has_gradient ? output_matrix(student) : output_matrix{}, how);
}

template <class T>
matrix_view<const T> rows_of(const batch<T>& b) {
  return {b.student, b.count, b.student_width};
}
template <class T>
matrix_view<const T> square_of(const T* m, std::size_t n) {
  return {m, n, n};
}

// ---- the losses, on at least one row

template <class T>
double rkd_distance_of(const batch<T>& b, const output_matrix& gradient) {
  const double n = static_cast<double>(b.count), pairs = std::max(n * (n - 1), 1.0);
  const double student_sum = b.distances(b.student, b.student_width, b.first, true);
  const double teacher_sum = b.distances(b.teacher, b.teacher_width, b.second, true);
  const auto scale = [&](double sum) { return sum == 0 ? 0 : pairs / sum; };
  batch_job step = b.job(batch_step::huber, b.count);
  step.a = b.first;
  step.b = b.second;
  step.scale_a = scale(student_sum);
  step.scale_b = scale(teacher_sum);
  run_batch(step, b.options.executor);
  const double value = b.sum_of(b.row_sums) / pairs;
  if (gradient.data == nullptr) return value;
  // The mean distance is a function of the student too: its part is the same for every pair.
  step.step = batch_step::pair_slopes;
  step.shift = b.sum_of(b.row_dots) * step.scale_a * step.scale_a / pairs;
  run_batch(step, b.options.executor);
  b.on_matrix(batch_step::to_differences, b.second, 2 * b.options.weight / pairs);
  b.write_gradient(1, square_of<T>(b.second, b.count), rows_of(b), gradient);
  return value;
}

template <class T>
double rkd_angle_of(const batch<T>& b, const output_matrix& gradient) {
  const double n = static_cast<double>(b.count), triplets = std::max(n * (n - 1) * (n - 2), 1.0);
  T* const teacher_inverse = b.third + b.count * b.count;
  b.distances(b.student, b.student_width, b.first, false);
  b.distances(b.teacher, b.teacher_width, b.third, false);
  batch_job step = b.job(batch_step::reciprocals, b.count);
  step.a = b.first;
  step.b = b.second;
  run_batch(step, b.options.executor);
  step.a = b.third;
  step.b = teacher_inverse;
  run_batch(step, b.options.executor);
  step.step = batch_step::angles;
  step.a = b.first;
  step.b = b.second;
  step.c = b.fifth;
  step.e = b.third;
  run_batch(step, b.options.executor);
  const double value = b.sum_of(b.row_sums) / triplets;
  if (gradient.data == nullptr) return value;
  b.on_matrix(batch_step::symmetrize, b.fifth);
  b.on_matrix(batch_step::to_differences, b.fifth, 2 * b.options.weight / triplets);
  b.write_gradient(1, square_of<T>(b.fifth, b.count), rows_of(b), gradient);
  return value;
}

template <class T>
double gram_loss_of(relational_kind kind, const batch<T>& b, const output_matrix& gradient) {
  const std::size_t n = b.count;
  const bool over_rows = kind == relational_kind::gram_rows, has_gradient = gradient.data != nullptr;
  const double entries = static_cast<double>(n) * static_cast<double>(n), weight = b.options.weight;
  const double student_scale = over_rows ? 1 / static_cast<double>(b.student_width) : 1;
  b.row_products(b.student, b.student_width, b.first, student_scale);
  b.row_products(b.teacher, b.teacher_width, b.second,
                 over_rows ? 1 / static_cast<double>(b.teacher_width) : 1);
  double value = 0;
  if (kind == relational_kind::linear_cka)
    value = gram_distance(b, hidden_kind::cosine, 1, n * n, 1, has_gradient);
  else
    value = gram_distance(b, over_rows ? hidden_kind::mse : hidden_kind::normalized_mse, n, n, entries,
                          has_gradient);
  if (!has_gradient) return value;
  // The slopes of entries i, j and j, i count both; for Gram matrices themselves they are the same.
  const bool symmetric = kind != relational_kind::similarity_preserving;
  if (!symmetric) b.on_matrix(batch_step::symmetrize, b.first);
  b.write_gradient(weight * student_scale * (symmetric ? 2 : 1), square_of<T>(b.first, n), rows_of(b),
                   gradient);
  return value;
}

template <class T>
double gram_columns_of(const batch<T>& b, const output_matrix& gradient) {
  const std::size_t n = b.count, width = b.student_width;
  const auto pitch = static_cast<std::ptrdiff_t>(width);
  const double scale = 1 / static_cast<double>(n);
  for (const auto& [x, to] : {std::pair{b.student, b.first}, std::pair{b.teacher, b.second}})
    b.options.product.multiply(scale, matrix_view<const T>(x, width, n, 1, pitch),
                               matrix_view<const T>(x, n, width), 0, matrix_view<T>(to, width, width));
  const double entries = static_cast<double>(width) * static_cast<double>(width);
  const double value = gram_distance(b, hidden_kind::mse, width, width, entries, gradient.data != nullptr);
  if (gradient.data != nullptr)
    b.write_gradient(2 * scale * b.options.weight, rows_of(b), square_of<T>(b.first, width), gradient);
  return value;
}

// ---- scratch

template <class T>
std::size_t plan_batch(relational_kind kind, batch<T>& b, bool has_gradient, std::byte* base) {
  scratch_plan plan;
  const auto place = [&]<class U>(U*& pointer, std::size_t count) {
    const std::size_t offset = plan.add<U>(count);
    if (base != nullptr) pointer = reinterpret_cast<U*>(base + offset);
  };
  const std::size_t side = kind == relational_kind::gram_columns ? b.student_width : b.count,
                    square = side * side;
  place(b.rows, b.count);
  place(b.student, b.count * b.student_width);
  place(b.teacher, b.count * b.teacher_width);
  place(b.first, square);
  place(b.second, square);
  if (kind == relational_kind::rkd_angle) {
    place(b.third, 2 * square);
    place(b.fifth, square);
  }
  place(b.squares, b.count);
  place(b.row_sums, b.count);
  place(b.row_dots, b.count);
  if (has_gradient) place(b.gradient, b.count * b.student_width);
  b.rest_bytes = round_up_to_line(side * sizeof(double)) + workspace::alignment;
  place(b.rest, b.rest_bytes);
  return plan.size();
}

template <class T>
double run_relational(relational_kind kind, const input_matrix& student, const input_matrix& teacher,
                      const output_matrix& gradient, const relational_options& options) {
  const auto is_in = [&](std::size_t row) { return options.row_mask.empty() || options.row_mask[row] != 0; };
  std::size_t count = 0;
  for (std::size_t row = 0; row < student.rows; ++row) count += is_in(row) ? 1 : 0;
  batch<T> b(options, count, student.columns, teacher.columns);
  const bool has_gradient = gradient.data != nullptr;
  workspace own;
  workspace& memory = options.workspace != nullptr ? *options.workspace : own;
  plan_batch(kind, b, has_gradient, memory.require(plan_batch(kind, b, has_gradient, nullptr)));
  for (std::size_t row = 0, i = 0; row < student.rows; ++row)
    if (is_in(row)) b.rows[i++] = row;
  if (count == 0) {
    if (has_gradient) b.write_gradient(1, {}, {}, gradient);
    return 0;
  }
  const bool centered = kind == relational_kind::rkd_distance || kind == relational_kind::rkd_angle ||
                        kind == relational_kind::linear_cka;
  b.gather(student, b.student, centered);
  b.gather(teacher, b.teacher, centered);
  double value = 0;
  switch (kind) {
    case relational_kind::rkd_distance:
      value = rkd_distance_of(b, gradient);
      break;
    case relational_kind::rkd_angle:
      value = rkd_angle_of(b, gradient);
      break;
    case relational_kind::gram_columns:
      value = gram_columns_of(b, gradient);
      break;
    default:
      value = gram_loss_of(kind, b, gradient);
      break;
  }
  return options.weight * value;
}

DISTILL_INLINE double evaluate_relational(relational_kind kind, const char* name, const input_matrix& student,
                                          const input_matrix& teacher, const output_matrix& gradient,
                                          const relational_options& options) {
  check_relational(kind, name, student, teacher, gradient, options);
  if (student.type == element_type::float64 || teacher.type == element_type::float64)
    return run_relational<double>(kind, student, teacher, gradient, options);
  return run_relational<float>(kind, student, teacher, gradient, options);
}

}  // namespace distill::inline DISTILL_ABI::detail
