// Definitions of universal_logit_job.hpp: checks, denominator, the walk over the rows. Compiled once in src/,
// or included by universal_logit_job.hpp in header-only mode.
#pragma once

#include <cmath>
#include <cstdint>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/loss/check-inl.hpp>
#include <distill/loss/denominator-inl.hpp>
#include <distill/loss/universal_logit_job.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/universal_logit_rows.cpp, or the end of this file in header-only
// mode.
DISTILL_INLINE void universal_logit_rows_float(const universal_logit_job& job, std::size_t begin,
                                               std::size_t end, void* scratch);
DISTILL_INLINE void universal_logit_rows_double(const universal_logit_job& job, std::size_t begin,
                                                std::size_t end, void* scratch);

inline void check_universal_logit(const universal_logit_loss& loss, const input_matrix& student,
                                  const input_matrix& teacher, const output_matrix& gradient,
                                  const row_options& rows) {
  const char* const name = "universal_logit";
  require_temperature(name, "temperature", loss.temperature.number());
  require_temperature(name, "teacher_temperature", loss.teacher_temperature.number());
  if (student.rows == 0) throw shape_error(std::string(name) + ": student has 0 rows");
  require_extent(name, "teacher", teacher.rows, "rows", "student", student.rows);
  for (const auto& [m, what] : {std::pair{&student, "student"}, std::pair{&teacher, "teacher"}}) {
    if (m->columns == 0) throw shape_error(std::string(name) + ": " + what + " has 0 classes");
    if (m->columns > UINT32_MAX)
      throw shape_error(std::string(name) + ": " + what + " has " + std::to_string(m->columns) +
                        " classes, must be less than 2^32");
    if (m->data == nullptr) throw layout_error(std::string(name) + ": " + what + " has no memory");
    require_aligned(name, what, *m);
  }
  check_rows(name, student.rows, rows);
  check_temperature_slopes(name, {}, student, rows.temperature_slopes);
  check_row_temperatures(name, loss.temperature, loss.teacher_temperature, student, rows, gradient);
  if (gradient.data != nullptr || gradient.rows > 0) check_gradient(name, gradient, student, teacher, rows);
}

DISTILL_INLINE double evaluate_universal_logit(const universal_logit_loss& loss, const input_matrix& student,
                                               const input_matrix& teacher, const output_matrix& gradient,
                                               const row_options& rows) {
  check_universal_logit(loss, student, teacher, gradient, rows);
  universal_logit_job job;
  job.loss = loss;
  job.student = student;
  job.teacher = teacher;
  job.gradient = gradient;
  job.weights = rows.row_weights;
  job.accumulate = rows.accumulate;
  job.temperature_slopes = rows.temperature_slopes;
  const double denominator = denominator_of(rows, rows_that_count(rows, job.rows()), student.columns);
  job.factor = denominator > 0 ? 1 / denominator : 0;
  const bool in_double = student.type == element_type::float64 || teacher.type == element_type::float64;
  constexpr std::size_t widest = widest_vector_bytes / sizeof(float);
  job.pitch = (job.longest() + widest - 1) / widest * widest;
  const row_blocks blocks(rows.executor, job.rows(),
                          student.columns * size_of(student.type) + teacher.columns * size_of(teacher.type));
  const std::size_t slot_bytes = job.scratch_rows() * job.pitch * (in_double ? 8 : 4) + job.counter_bytes;
  const call_memory memory(rows.workspace, job.rows() * sizeof(double), blocks.slots, slot_bytes);
  job.values = reinterpret_cast<double*>(memory.kept());
  memory.run(rows.executor, blocks, in_double ? universal_logit_rows_double : universal_logit_rows_float,
             job);
  const auto weighted = [&](std::size_t row) {
    const double weight = static_cast<double>(job.weight(row));
    return weight == 0 ? 0 : weight * job.values[row];
  };
  for (std::size_t row = 0; row < rows.row_values.size(); ++row) rows.row_values[row] = weighted(row);
  return job.factor * compensated_total(job.rows(), weighted);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/universal_logit_rows-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void universal_logit_rows_float(const universal_logit_job& job, std::size_t begin, std::size_t end,
                                       void* scratch) {
  simd::HWY_NAMESPACE::UniversalLogitRows<float>(job, begin, end, scratch);
}
inline void universal_logit_rows_double(const universal_logit_job& job, std::size_t begin, std::size_t end,
                                        void* scratch) {
  simd::HWY_NAMESPACE::UniversalLogitRows<double>(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
