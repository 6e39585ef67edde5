// Definitions of fsp.hpp: each sample as products, a loss on hidden states where the Gram matrices take the
// place of the states, and products again. Compiled once in src/, or included by fsp.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/alignment/batch-inl.hpp>
#include <distill/alignment/fsp.hpp>
#include <distill/alignment/fsp_check-inl.hpp>
#include <distill/alignment/hidden_states_job.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// Everything about a call but the type it is computed in.
struct fsp_job {
  fsp_shape shape;
  fsp_inputs student, teacher;
  fsp_gradients gradient;
  const relational_options& options;
  std::size_t count = 0;  // samples that are in
  std::size_t* rows = nullptr;
  double* values = nullptr;  // [samples]

  bool has_gradient() const { return gradient.first.data != nullptr; }
  bool is_in(std::size_t sample) const { return options.row_mask.empty() || options.row_mask[sample] != 0; }
};

// The rows of one sample.
template <class Void>
untyped_matrix<Void> sample_of(const untyped_matrix<Void>& m, std::size_t sample, std::size_t positions) {
  using byte_pointer = std::conditional_t<std::is_const_v<Void>, const std::byte*, std::byte*>;
  const auto offset = static_cast<std::ptrdiff_t>(sample * positions) * m.row_stride;
  untyped_matrix<Void> part = m;
  part.data = static_cast<byte_pointer>(m.data) + offset * static_cast<std::ptrdiff_t>(size_of(m.type));
  part.rows = positions;
  return part;
}

// One sample at a time, in a worker's scratch.
template <class T>
class fsp_sample {
 public:
  // Where no memory is given, only its size is wanted.
  fsp_sample(const fsp_job& job, std::byte* memory) : job_(job) {
    scratch_plan plan;
    const auto place = [&]<class U>(U*& pointer, std::size_t count) {
      const std::size_t offset = plan.add<U>(count);
      if (memory != nullptr) pointer = reinterpret_cast<U*>(memory + offset);
    };
    const fsp_shape& s = job.shape;
    place(student_gram_, s.entries());
    place(teacher_gram_, s.entries());
    const input_matrix* const maps[] = {&job.student.first, &job.student.second, &job.teacher.first,
                                        &job.teacher.second};
    for (std::size_t i = 0; i < 4; ++i)
      if (!is_direct(*maps[i]))
        place(copies_[i], (i < 2 ? s.positions : s.teacher_positions) * maps[i]->columns);
    const output_matrix* const gradients[] = {&job.gradient.first, &job.gradient.second};
    for (std::size_t i = 0; i < 2; ++i)
      if (job.has_gradient() && !is_direct(*gradients[i]))
        place(slopes_[i], s.positions * gradients[i]->columns);
    rest_bytes_ = round_up_to_line(s.first * sizeof(double)) + workspace::alignment;
    place(rest_, rest_bytes_);
    bytes_ = plan.size();
  }
  std::size_t bytes() const { return bytes_; }

  void run(std::size_t sample) const {
    const fsp_shape& s = job_.shape;
    const auto map = [&](const input_matrix& m, std::size_t positions, T* copy) {
      return read(sample_of(m, sample, positions), copy);
    };
    const matrix_view<const T> first = map(job_.student.first, s.positions, copies_[0]),
                               second = map(job_.student.second, s.positions, copies_[1]);
    gram(first, second, student_gram_);
    gram(map(job_.teacher.first, s.teacher_positions, copies_[2]),
         map(job_.teacher.second, s.teacher_positions, copies_[3]), teacher_gram_);
    job_.values[sample] = compare();
    if (!job_.has_gradient()) return;
    const matrix_view<const T> slope(student_gram_, s.first, s.second);
    write(0, second, transposed(slope), sample_of(job_.gradient.first, sample, s.positions));
    write(1, first, slope, sample_of(job_.gradient.second, sample, s.positions));
  }

  void clear(std::size_t sample) const {
    if (!job_.has_gradient() || job_.options.accumulate) return;
    for (const output_matrix* gradient : {&job_.gradient.first, &job_.gradient.second})
      scatter(nullptr, 0, sample_of(*gradient, sample, job_.shape.positions));
  }

 private:
  // Products read and write it where it is.
  template <class Void>
  static bool is_direct(const untyped_matrix<Void>& m) {
    return m.type == element_traits<T>::type &&
           ((m.column_stride == 1 && m.row_stride > 0) || (m.row_stride == 1 && m.column_stride > 0));
  }
  static matrix_view<const T> transposed(const matrix_view<const T>& m) {
    return {m.data_handle(), m.columns(), m.rows(), m.stride(1), m.stride(0)};
  }

  batch_job step(batch_step which, std::size_t columns, T* a) const {
    batch_job result;
    result.step = which;
    result.type = element_traits<T>::type;
    result.columns = columns;
    result.rows = job_.rows;
    result.a = a;
    return result;
  }

  matrix_view<const T> read(const input_matrix& m, T* copy) const {
    if (is_direct(m))
      return {static_cast<const T*>(m.data), m.rows, m.columns, m.row_stride, m.column_stride};
    batch_job gather = step(batch_step::gather, m.columns, copy);
    gather.source = m;
    gather.count = m.rows;
    batch_rows(gather, 0, m.rows);
    return {copy, m.rows, m.columns};
  }

  void gram(const matrix_view<const T>& first, const matrix_view<const T>& second, T* to) const {
    job_.options.product.multiply(1 / static_cast<double>(first.rows()), transposed(first), second, 0,
                                  matrix_view<T>(to, job_.shape.first, job_.shape.second));
  }

  // The sample's part of the value; the slopes take the place of the student's Gram matrix.
  double compare() const {
    workspace scratch({rest_, rest_bytes_});
    row_options how;
    how.denominator = static_cast<double>(job_.shape.entries()) * static_cast<double>(job_.count);
    how.workspace = &scratch;
    const matrix_view<T> student(student_gram_, job_.shape.first, job_.shape.second);
    const matrix_view<const T> teacher(teacher_gram_, job_.shape.first, job_.shape.second);
    return evaluate_hidden_states({.kind = hidden_kind::mse, .name = "gram"}, student, teacher,
                                  job_.has_gradient() ? output_matrix(student) : output_matrix{}, how);
  }

  // A sample's gradient (+)= weight a b / positions.
  void write(std::size_t which, const matrix_view<const T>& a, const matrix_view<const T>& b,
             const output_matrix& to) const {
    const double alpha = job_.options.weight / static_cast<double>(job_.shape.positions);
    if (is_direct(to))
      return job_.options.product.multiply(
          alpha, a, b, job_.options.accumulate ? 1 : 0,
          matrix_view<T>(static_cast<T*>(to.data), to.rows, to.columns, to.row_stride, to.column_stride));
    job_.options.product.multiply(alpha, a, b, 0, matrix_view<T>(slopes_[which], to.rows, to.columns));
    scatter(slopes_[which], to.rows, to);
  }

  void scatter(T* from, std::size_t count, const output_matrix& to) const {
    batch_job put = step(batch_step::scatter, to.columns, from);
    put.count = count;
    put.gradient = to;
    put.accumulate = job_.options.accumulate;
    batch_rows(put, 0, to.rows);
  }

  const fsp_job& job_;
  T *student_gram_ = nullptr, *teacher_gram_ = nullptr;
  T *copies_[4] = {}, *slopes_[2] = {};
  std::byte* rest_ = nullptr;
  std::size_t rest_bytes_ = 0, bytes_ = 0;
};

template <class T>
double run_fsp(fsp_job& job) {
  const fsp_shape& s = job.shape;
  const std::size_t slot_bytes = fsp_sample<T>(job, nullptr).bytes();
  const row_blocks blocks(job.options.executor, s.samples,
                          std::max<std::size_t>(sizeof(T) * s.positions * (s.first + s.second), 1));
  scratch_plan plan;
  const std::size_t values = plan.add<double>(s.samples),
                    rows = plan.add<std::size_t>(std::max(s.positions, s.teacher_positions));
  workspace own;
  workspace& memory = job.options.workspace != nullptr ? *job.options.workspace : own;
  std::byte* const base = memory.require(plan.size() + blocks.slots * slot_bytes);
  job.values = reinterpret_cast<double*>(base + values);
  job.rows = reinterpret_cast<std::size_t*>(base + rows);
  for (std::size_t i = 0; i < std::max(s.positions, s.teacher_positions); ++i) job.rows[i] = i;
  blocks.run(job.options.executor, base + plan.size(), slot_bytes,
             [&](std::size_t begin, std::size_t end, void* scratch) {
               const fsp_sample<T> worker(job, static_cast<std::byte*>(scratch));
               for (std::size_t sample = begin; sample < end; ++sample)
                 job.is_in(sample) ? worker.run(sample) : worker.clear(sample);
             });
  return compensated_total(s.samples,
                           [&](std::size_t sample) { return job.is_in(sample) ? job.values[sample] : 0.0; });
}

DISTILL_INLINE double evaluate_fsp(std::size_t positions, std::size_t teacher_positions,
                                   const fsp_inputs& student, const fsp_inputs& teacher,
                                   const fsp_gradients& gradient, const relational_options& options) {
  fsp_job job{check_fsp(positions, teacher_positions, student, teacher, gradient, options), student, teacher,
              gradient, options};
  for (std::size_t sample = 0; sample < job.shape.samples; ++sample) job.count += job.is_in(sample) ? 1 : 0;
  bool in_double = false;
  for (const input_matrix* m : {&student.first, &student.second, &teacher.first, &teacher.second})
    in_double = in_double || m->type == element_type::float64;
  return options.weight * (in_double ? run_fsp<double>(job) : run_fsp<float>(job));
}

}  // namespace distill::inline DISTILL_ABI::detail
