// Definitions of correlation_job.hpp: checks, and the passes over the batch. Compiled once in src/, or
// included by correlation_job.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/loss/check-inl.hpp>
#include <distill/loss/correlation_job.hpp>
#include <distill/loss/denominator-inl.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/correlation_rows.cpp, or the end of this file in header-only mode.
DISTILL_INLINE void correlation_rows_float(const correlation_job& job, std::size_t begin, std::size_t end,
                                           void* scratch);
DISTILL_INLINE void correlation_rows_double(const correlation_job& job, std::size_t begin, std::size_t end,
                                            void* scratch);

inline void check_correlation(const correlation_loss& loss, const input_matrix& student,
                              const input_matrix& teacher, const output_matrix& gradient,
                              const row_options& rows) {
  const char* const name = "correlation";
  require_temperature(name, "temperature", loss.temperature.number());
  require_temperature(name, "teacher_temperature", loss.teacher_temperature.number());
  for (const auto& [value, what] : {std::pair{loss.beta, "beta"}, std::pair{loss.gamma, "gamma"}})
    if (!std::isfinite(value)) throw_parameter(name, what, "finite", text_of(value));
  for (const auto& [extent, unit] : {std::pair{student.rows, "rows"}, std::pair{student.columns, "classes"}})
    if (extent == 0) throw shape_error(std::string(name) + ": student has 0 " + unit);
  require_extent(name, "teacher", teacher.rows, "rows", "student", student.rows);
  require_extent(name, "teacher", teacher.columns, "classes", "student", student.columns);
  for (const auto& [m, what] : {std::pair{&student, "student"}, std::pair{&teacher, "teacher"}}) {
    if (m->data == nullptr) throw layout_error(std::string(name) + ": " + what + " has no memory");
    require_aligned(name, what, *m);
  }
  check_rows(name, student.rows, rows);
  if (loss.gamma != 0) {
    for (std::size_t row = 0; row < rows.row_weights.size(); ++row)
      if (rows.row_weights[row] < 0)
        throw_parameter(name, "row_weights[" + std::to_string(row) + "]", ">= 0 unless gamma is 0",
                        text_of(static_cast<double>(rows.row_weights[row])));
    if (rows.reduction == reduction::none)
      throw parameter_error(std::string(name) +
                            ": couples the rows, so reduction::none needs gamma = 0; use reduction::sum");
  }
  check_temperature_slopes(name, {}, student, rows.temperature_slopes);
  check_row_temperatures(name, loss.temperature, loss.teacher_temperature, student, rows, gradient);
  if (gradient.data != nullptr || gradient.rows > 0) check_gradient(name, gradient, student, teacher, rows);
}

// What is kept between the passes.
struct correlation_memory {
  std::size_t rows_bytes, class_bytes, arrays;

  explicit correlation_memory(const correlation_job& job)
      : rows_bytes(round_up_to_line(job.student.rows * sizeof(correlation_row))),
        class_bytes(round_up_to_line(job.student.columns * sizeof(double))),
        arrays(job.temperature_slopes.empty() ? 4 : 7) {}

  std::size_t bytes() const { return rows_bytes + arrays * class_bytes; }
  void place(correlation_job& job, std::byte* base) const {
    job.rows = reinterpret_cast<correlation_row*>(base);
    correlation_class_slopes &s = job.student_classes, &t = job.teacher_classes;
    double** const places[] = {&job.class_distances, &s.difference_slope, &s.other_slope, &s.offset,
                               &t.difference_slope,  &t.other_slope,      &t.offset};
    for (std::size_t i = 0; i < arrays; ++i) {
      *places[i] = reinterpret_cast<double*>(base + rows_bytes + i * class_bytes);
      std::fill_n(*places[i], job.student.columns, 0.0);
    }
  }
};

// A worker's scratch: two rows in the compute type and one of doubles, two more for slopes by the
// temperature; or two tiles.
inline std::size_t correlation_scratch(const correlation_job& job, std::size_t element_bytes) {
  const std::size_t doubles = job.temperature_slopes.empty() ? 1 : 2;
  return std::max(job.pitch * (2 * element_bytes + doubles * sizeof(double)),
                  2 * correlation_job::tile_rows * correlation_job::tile_classes * element_bytes);
}

// The value; slopes and gradient are written where there is a place for them.
inline double run_correlation(correlation_job& job, bool in_double, const row_options& rows) {
  const std::size_t classes = job.student.columns;
  const std::size_t row_bytes = classes * (size_of(job.student.type) + size_of(job.teacher.type));
  const row_blocks by_rows(rows.executor, job.student.rows, row_bytes);
  constexpr std::size_t block = correlation_job::block_classes;
  const std::size_t column_bytes =
      rows_that_count(rows, job.student.rows) * block * 2 * size_of(job.student.type);
  const row_blocks by_classes(rows.executor, (classes + block - 1) / block,
                              std::max<std::size_t>(column_bytes, 1));
  const correlation_memory plan(job);
  const call_memory memory(rows.workspace, plan.bytes(), std::max(by_rows.slots, by_classes.slots),
                           correlation_scratch(job, in_double ? 8 : 4));
  plan.place(job, memory.kept());
  const auto pass = [&](correlation_step step, const row_blocks& blocks) {
    job.step = step;
    memory.run(rows.executor, blocks, in_double ? correlation_rows_double : correlation_rows_float, job);
  };
  pass(correlation_step::rows, by_rows);
  double value = 0;
  if (job.row_factor != 0)
    value += job.row_factor * compensated_total(job.student.rows, [&](std::size_t row) {
               return job.is_in(row) ? job.weight(row) * job.share(row) * job.rows[row].distance : 0.0;
             });
  if (job.loss.gamma != 0 && job.class_share != 0) {
    pass(correlation_step::classes, by_classes);
    job.class_distance =
        job.class_factor * compensated_total(classes, [&](std::size_t c) { return job.class_distances[c]; });
    value += job.class_share * job.class_distance;
  }
  for (std::size_t row = 0; row < rows.row_values.size(); ++row)
    rows.row_values[row] = job.is_in(row) ? job.weight(row) * job.loss.scale(row) * job.distance(row) : 0;
  if (!job.temperature_slopes.empty()) pass(correlation_step::temperature_slopes, by_rows);
  if (job.gradient.data != nullptr) pass(correlation_step::gradient, by_rows);
  return job.scale * value;
}

// The T² of the rows and their weights, summed relative to the first.
inline void sum_correlation_weights(correlation_job& job, double denominator) {
  bool any = false;
  compensated_sum weights, shares;
  for (std::size_t row = 0; row < job.student.rows; ++row) {
    if (!job.is_in(row)) continue;
    if (!any) job.scale = job.loss.scale(row);
    any = true;
    weights.add(job.weight(row));
    shares.add(job.weight(row) * (job.share(row) - 1));
  }
  if (!any) return;
  job.weight_sum = weights.total();
  job.inverse_denominator = 1 / denominator;
  job.row_factor = job.loss.beta / denominator;
  job.class_share = (job.weight_sum + shares.total()) / denominator;
}

DISTILL_INLINE double evaluate_correlation(const correlation_loss& loss, const input_matrix& student,
                                           const input_matrix& teacher, const output_matrix& gradient,
                                           const row_options& rows) {
  check_correlation(loss, student, teacher, gradient, rows);
  correlation_job job;
  job.loss = loss;
  job.student = student;
  job.teacher = teacher;
  job.gradient = gradient;
  job.weights = rows.row_weights;
  job.temperature_slopes = rows.temperature_slopes;
  job.accumulate = rows.accumulate;
  sum_correlation_weights(job, denominator_of(rows, rows_that_count(rows, student.rows), student.columns));
  job.class_factor = loss.gamma / static_cast<double>(student.columns);
  constexpr std::size_t widest = widest_vector_bytes / sizeof(float);
  job.pitch = (student.columns + widest - 1) / widest * widest;
  const bool in_double = student.type == element_type::float64 || teacher.type == element_type::float64;
  return run_correlation(job, in_double, rows);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/correlation-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void correlation_rows_float(const correlation_job& job, std::size_t begin, std::size_t end,
                                   void* scratch) {
  simd::HWY_NAMESPACE::CorrelationRows<float>(job, begin, end, scratch);
}
inline void correlation_rows_double(const correlation_job& job, std::size_t begin, std::size_t end,
                                    void* scratch) {
  simd::HWY_NAMESPACE::CorrelationRows<double>(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
