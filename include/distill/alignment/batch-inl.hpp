// A batch in scratch memory: its rows gathered, the steps on it, the products, and the way back to the
// caller's gradient.
#pragma once

#include <algorithm>
#include <distill/alignment/batch_rows-inl.hpp>
#include <distill/alignment/relational_job.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void run_batch(const batch_job& job, const executor_ref& executor) {
  std::size_t extent = job.count, grain = (std::size_t{64} << 10) / (job.columns * size_of(job.type)) + 1;
  if (job.step == batch_step::center) {
    constexpr std::size_t lines = 64;  // columns to a block
    executor.for_each_block((job.columns + lines - 1) / lines, 1, [&](std::size_t begin, std::size_t end) {
      batch_rows(job, begin * lines, std::min(end * lines, job.columns));
    });
    return;
  }
  if (job.step == batch_step::symmetrize)
    extent = (job.count + batch_job::tile_rows - 1) / batch_job::tile_rows, grain = 1;
  if (job.step == batch_step::angles) grain = 1;
  if (job.step == batch_step::scatter) extent = job.gradient.rows;
  executor.for_each_block(extent, grain,
                          [&](std::size_t begin, std::size_t end) { batch_rows(job, begin, end); });
}

// Parts of one allocation.
class scratch_plan {
 public:
  template <class T>
  std::size_t add(std::size_t count) {
    const std::size_t offset = size_;
    size_ += round_up_to_line(count * sizeof(T));
    return offset;
  }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_ = 0;
};

// The rows that are in, of student and teacher, and what a loss needs beside them.
template <class T>
struct batch {
  const relational_options& options;
  std::size_t count, student_width, teacher_width;
  std::size_t* rows = nullptr;
  T *student = nullptr, *teacher = nullptr;  // [count, width]
  T *first = nullptr, *second = nullptr;     // [count, count], or [width, width]
  T *third = nullptr, *fourth = nullptr, *fifth = nullptr;
  T *squares = nullptr, *gradient = nullptr;        // [count], [count, student_width]
  double *row_sums = nullptr, *row_dots = nullptr;  // [count]
  std::byte* rest = nullptr;
  std::size_t rest_bytes = 0;

  batch(const relational_options& how, std::size_t n, std::size_t s, std::size_t t)
      : options(how), count(n), student_width(s), teacher_width(t) {}

  batch_job job(batch_step step, std::size_t columns) const {
    batch_job result;
    result.step = step;
    result.type = element_traits<T>::type;
    result.count = count;
    result.columns = columns;
    result.rows = rows;
    result.row_sums = row_sums;
    result.row_dots = row_dots;
    return result;
  }

  void gather(const input_matrix& source, T* to, bool centered) const {
    batch_job step = job(batch_step::gather, source.columns);
    step.source = source;
    step.a = to;
    run_batch(step, options.executor);
    if (!centered) return;
    step.step = batch_step::center;
    run_batch(step, options.executor);
  }

  // to = alpha x xᵀ
  void row_products(const T* x, std::size_t width, T* to, double alpha = 1) const {
    options.product.multiply(alpha, matrix_view<const T>(x, count, width),
                             matrix_view<const T>(x, width, count, 1, static_cast<std::ptrdiff_t>(width)), 0,
                             matrix_view<T>(to, count, count));
  }

  // Distances of the rows of x, or their squares, in place of their products; returns their sum.
  double distances(const T* x, std::size_t width, T* to, bool roots) const {
    row_products(x, width, to);
    for (std::size_t i = 0; i < count; ++i) squares[i] = to[i * count + i];
    batch_job step = job(batch_step::distances, count);
    step.a = to;
    step.points = x;
    step.width = width;
    step.squares = squares;
    step.roots = roots;
    run_batch(step, options.executor);
    return sum_of(row_sums);
  }

  double sum_of(const double* values) const {
    compensated_sum sum;
    for (std::size_t i = 0; i < count; ++i) sum.add(values[i]);
    return sum.total();
  }

  void on_matrix(batch_step which, T* a, double factor = 1) const {
    batch_job step = job(which, count);
    step.a = a;
    step.factor = factor;
    run_batch(step, options.executor);
  }

  // The caller's gradient (+)= alpha a b, where a b is [count, student_width].
  void write_gradient(double alpha, const matrix_view<const T>& a, const matrix_view<const T>& b,
                      const output_matrix& to) const {
    const bool whole = count == to.rows && to.type == element_traits<T>::type &&
                       (to.column_stride == 1 || to.row_stride == 1);
    if (whole) {
      const matrix_view<T> direct(static_cast<T*>(to.data), to.rows, to.columns, to.row_stride,
                                  to.column_stride);
      return options.product.multiply(alpha, a, b, options.accumulate ? 1 : 0, direct);
    }
    if (count > 0) options.product.multiply(alpha, a, b, 0, matrix_view<T>(gradient, count, student_width));
    batch_job step = job(batch_step::scatter, to.columns);
    step.a = gradient;
    step.gradient = to;
    step.accumulate = options.accumulate;
    run_batch(step, options.executor);
  }
};

}  // namespace distill::inline DISTILL_ABI::detail
