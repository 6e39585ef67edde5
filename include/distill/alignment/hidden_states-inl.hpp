// Definitions of hidden_states_job.hpp: checks, denominators, the walk over the rows. Compiled once in src/,
// or included by hidden_states_job.hpp in header-only mode.
#pragma once

#include <cmath>
#include <distill/alignment/hidden_states_job.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/loss/check-inl.hpp>
#include <distill/loss/denominator-inl.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>
#include <distill/view/element_access-inl.hpp>
#include <distill/view/require_memory-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/hidden_states_rows.cpp, or the end of this file in header-only mode.
DISTILL_INLINE void hidden_states_rows_float(const hidden_states_job& job, std::size_t begin, std::size_t end,
                                             void* scratch);
DISTILL_INLINE void hidden_states_rows_double(const hidden_states_job& job, std::size_t begin,
                                              std::size_t end, void* scratch);

inline void check_hidden_states(const hidden_states_loss& loss, const input_matrix& student,
                                const input_matrix& teacher, const output_matrix& gradient,
                                const row_options& rows) {
  const std::string name = loss.name;
  if (loss.kind == hidden_kind::huber && !(std::isfinite(loss.delta) && loss.delta > 0))
    throw_parameter(name, "delta", "finite and > 0", text_of(loss.delta));
  if (!loss.sums_over_width() && rows.reduction == reduction::mean)
    throw parameter_error(name + ": a row has one value, not one for each column; use reduction::batch_mean");
  for (const auto& [extent, unit] : {std::pair{student.rows, "rows"}, std::pair{student.columns, "columns"}})
    if (extent == 0) throw shape_error(name + ": student has 0 " + unit);
  require_extent(name, "teacher", teacher.rows, "rows", "student", student.rows);
  if (teacher.columns != student.columns)
    throw shape_error(name + ": teacher has " + std::to_string(teacher.columns) + " columns, student has " +
                      std::to_string(student.columns) +
                      "; an adapter takes the student to the teacher's width");
  for (const auto& [m, what] : {std::pair{&student, "student"}, std::pair{&teacher, "teacher"}}) {
    if (m->data == nullptr) throw layout_error(name + ": " + what + " has no memory");
    require_aligned(name, what, *m);
  }
  check_rows(loss.name, student.rows, rows);
  refuse_temperature_slopes(loss.name, rows);
  if (gradient.data == nullptr && gradient.rows == 0) return;
  require_extent(name, "gradient", gradient.rows, "rows", "student", student.rows);
  require_extent(name, "gradient", gradient.columns, "columns", "student", student.columns);
  check_gradient(loss.name, gradient, student, teacher, rows);
}

// ---- rows whose squares leave the range of the compute type

// A row in double and scaled by its largest entry, so that no square overflows or vanishes.
struct scaled_row {
  const input_matrix& matrix;
  std::size_t row;
  double largest = 0, norm = 0;  // norm: of the scaled row

  scaled_row(const input_matrix& m, std::size_t i) : matrix(m), row(i) {
    for (std::size_t j = 0; j < m.columns; ++j) {
      const double x = std::abs(element_at(m, row, j));
      if (std::isnan(x) || x > largest) largest = x;
      if (std::isnan(x)) return;
    }
    compensated_sum sum;
    for (std::size_t j = 0; j < m.columns && largest > 0; ++j) {
      const double x = element_at(matrix, row, j) / largest;
      sum.add(x * x);
    }
    norm = std::sqrt(sum.total());
  }
  bool is_finite() const { return std::isfinite(largest); }
  // The entry over the length of the row; 0 throughout if the row is 0.
  double direction(std::size_t j) const {
    return norm == 0 ? 0 : element_at(matrix, row, j) / largest / norm;
  }
};

inline void add_to_gradient(const hidden_states_job& job, std::size_t row, std::size_t column, double value) {
  const output_matrix& g = job.gradient;
  if (job.accumulate) value += element_at(g, row, column);
  assign_at(g, row, column, value);
}

inline void resolve_direction_row(const hidden_states_job& job, std::size_t row) {
  const scaled_row s(job.student, row), t(job.teacher, row);
  const double scale = job.loss.kind == hidden_kind::cosine ? 1 : 2;
  const double poison = s.is_finite() && t.is_finite() ? 0 : std::numeric_limits<double>::quiet_NaN();
  compensated_sum squares, along;
  for (std::size_t j = 0; j < job.width() && poison == 0; ++j) {
    const double difference = s.direction(j) - t.direction(j);
    squares.add(difference * difference);
    along.add(difference * s.direction(j));
  }
  // A row of zeros has no direction: its distance from any other is that of a right angle.
  const bool both = s.norm > 0 && t.norm > 0;
  job.values[row] = (both ? scale / 2 * squares.total() : s.norm > 0 || t.norm > 0 ? 1 : 0) + poison;
  if (job.gradient.data == nullptr) return;
  const double factor =
      both ? job.factor * static_cast<double>(job.weight(row)) * scale / s.norm / s.largest : 0;
  for (std::size_t j = 0; j < job.width(); ++j) {
    const double slope = both && poison == 0
                             ? factor * (s.direction(j) - t.direction(j) - along.total() * s.direction(j))
                             : poison;
    add_to_gradient(job, row, j, slope);
  }
}

inline double resolved_distance(const hidden_states_job& job, std::size_t row) {
  compensated_sum sum;
  for (std::size_t j = 0; j < job.width(); ++j) {
    const double d = element_at(job.student, row, j) - element_at(job.teacher, row, j);
    const double size = std::abs(d), delta = job.loss.delta;
    if (job.loss.kind == hidden_kind::mse)
      sum.add(d * d);
    else
      sum.add(size <= delta ? d * d / 2 : delta * (size - delta / 2));
  }
  return sum.total();
}

// ---- the walk over the rows

template <class Void>
bool is_row_of(const untyped_matrix<Void>& m, element_type type) {
  return m.type == type && (m.column_stride == 1 || m.columns == 1);
}

inline void plan_copies(hidden_states_job& job, element_type compute) {
  const std::size_t lanes = 64 / size_of(compute);
  job.pitch = (job.width() + lanes - 1) / lanes * lanes;
  if (!is_row_of(job.student, compute)) job.student_copy = job.copies++;
  if (!is_row_of(job.teacher, compute)) job.teacher_copy = job.copies++;
  if (job.gradient.data != nullptr && !is_row_of(job.gradient, compute)) job.gradient_copy = job.copies++;
}

inline double finish_hidden_states(const hidden_states_job& job, const row_options& rows) {
  compensated_sum sum;
  for (std::size_t row = 0; row < job.rows(); ++row) {
    const double weight = static_cast<double>(job.weight(row));
    if (weight != 0 && !std::isfinite(job.values[row])) {
      if (job.loss.normalizes())
        resolve_direction_row(job, row);
      else
        job.values[row] = resolved_distance(job, row);
    }
    const double value = weight == 0 ? 0 : weight * job.values[row];
    sum.add(value);
    if (!rows.row_values.empty()) rows.row_values[row] = value;
  }
  return job.factor * sum.total();
}

DISTILL_INLINE double evaluate_hidden_states(const hidden_states_loss& loss, const input_matrix& student,
                                             const input_matrix& teacher, const output_matrix& gradient,
                                             const row_options& rows) {
  check_hidden_states(loss, student, teacher, gradient, rows);
  hidden_states_job job;
  job.loss = loss;
  job.student = student;
  job.teacher = teacher;
  job.gradient = gradient;
  job.weights = rows.row_weights;
  job.accumulate = rows.accumulate;
  const double denominator = denominator_of(rows, rows_that_count(rows, job.rows()), job.width());
  job.factor = denominator > 0 ? 1 / denominator : 0;
  const std::size_t gradient_bytes = gradient.rows * gradient.columns * size_of(gradient.type);
  job.bypass_cache = gradient.data != nullptr && !job.accumulate && gradient_bytes > cache_worth_keeping &&
                     gradient.data != student.data && gradient.data != teacher.data;
  const bool in_double = student.type == element_type::float64 || teacher.type == element_type::float64;
  const element_type compute = in_double ? element_type::float64 : element_type::float32;
  plan_copies(job, compute);
  const row_blocks blocks(rows.executor, job.rows(),
                          job.width() * (size_of(student.type) + size_of(teacher.type)));
  const std::size_t slot_bytes = static_cast<std::size_t>(job.copies) * job.pitch * size_of(compute);
  const call_memory memory(rows.workspace, job.rows() * sizeof(double), blocks.slots, slot_bytes);
  job.values = reinterpret_cast<double*>(memory.kept());
  const auto run = [&](const hidden_states_job& rows_of_job) {
    memory.run(rows.executor, blocks, in_double ? hidden_states_rows_double : hidden_states_rows_float,
               rows_of_job);
  };
  // A gradient in place of an input leaves nothing to compute a value again from, so the values come first.
  if (gradient.data != nullptr && !loss.normalizes() &&
      (gradient.data == student.data || gradient.data == teacher.data)) {
    hidden_states_job values = job;
    values.gradient = {};
    values.gradient_copy = -1;
    run(values);
    const double total = finish_hidden_states(values, rows);
    run(job);
    return total;
  }
  run(job);
  return finish_hidden_states(job, rows);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/hidden_states-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void hidden_states_rows_float(const hidden_states_job& job, std::size_t begin, std::size_t end,
                                     void* scratch) {
  simd::HWY_NAMESPACE::HiddenStatesRows<float>(job, begin, end, scratch);
}
inline void hidden_states_rows_double(const hidden_states_job& job, std::size_t begin, std::size_t end,
                                      void* scratch) {
  simd::HWY_NAMESPACE::HiddenStatesRows<double>(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
