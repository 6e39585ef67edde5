// Definitions of correlation_job.hpp: checks, and the passes over the batch. Compiled once in src/, or
// included by correlation_job.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/loss/check-inl.hpp>
#include <distill/loss/correlation_job.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/correlation_rows.cpp, or the end of this file in header-only mode.
DISTILL_INLINE void correlation_rows_float(const correlation_job& job, std::size_t begin, std::size_t end,
                                           void* scratch);
DISTILL_INLINE void correlation_rows_double(const correlation_job& job, std::size_t begin, std::size_t end,
                                            void* scratch);

inline void check_correlation(const correlation_loss& loss, const input_matrix& student,
                              const input_matrix& teacher, const output_matrix& gradient,
                              const correlation_options& options) {
  const char* const name = "correlation";
  require_temperature(name, "temperature", loss.temperature);
  require_temperature(name, "teacher_temperature", loss.teacher_temperature);
  for (const auto& [value, what] :
       {std::pair{loss.beta, "beta"}, std::pair{loss.gamma, "gamma"}, std::pair{options.weight, "weight"}})
    if (!std::isfinite(value)) throw_parameter(name, what, "finite", text_of(value));
  for (const auto& [extent, unit] : {std::pair{student.rows, "rows"}, std::pair{student.columns, "classes"}})
    if (extent == 0) throw shape_error(std::string(name) + ": student has 0 " + unit);
  require_extent(name, "teacher", teacher.rows, "rows", "student", student.rows);
  require_extent(name, "teacher", teacher.columns, "classes", "student", student.columns);
  for (const auto& [m, what] : {std::pair{&student, "student"}, std::pair{&teacher, "teacher"}}) {
    if (m->data == nullptr) throw layout_error(std::string(name) + ": " + what + " has no memory");
    require_aligned(name, what, *m);
  }
  if (!options.row_mask.empty())
    require_extent(name, "row_mask", options.row_mask.size(), "entries", "student", student.rows);
  if (gradient.data != nullptr || gradient.rows > 0)
    check_gradient(name, gradient, student, teacher, {.row_weights = options.row_mask});
}

// The memory of a call: what is kept between the passes, then each worker's scratch.
struct correlation_memory {
  std::size_t rows_bytes, class_bytes, slot_bytes;

  correlation_memory(const correlation_job& job, std::size_t element_bytes)
      : rows_bytes(round_up_to_line(job.student.rows * sizeof(correlation_row))),
        class_bytes(round_up_to_line(job.student.columns * sizeof(double))),
        slot_bytes(round_up_to_line(
            std::max(job.pitch * (2 * element_bytes + sizeof(double)),
                     2 * correlation_job::tile_rows * correlation_job::tile_classes * element_bytes))) {}

  std::size_t kept() const { return rows_bytes + 4 * class_bytes; }
  void place(correlation_job& job, std::byte* base) const {
    job.rows = reinterpret_cast<correlation_row*>(base);
    double** const arrays[] = {&job.classes.distance, &job.classes.difference_slope,
                               &job.classes.teacher_slope, &job.classes.offset};
    for (std::size_t i = 0; i < 4; ++i)
      *arrays[i] = reinterpret_cast<double*>(base + rows_bytes + i * class_bytes);
    for (std::size_t i = 0; i < 4; ++i) std::fill_n(*arrays[i], job.student.columns, 0.0);
  }
};

// The value before weight and temperatures; the gradient, if there is one, is written.
inline double run_correlation(correlation_job& job, bool in_double, const correlation_options& options) {
  const std::size_t classes = job.student.columns;
  const std::size_t row_bytes = classes * (size_of(job.student.type) + size_of(job.teacher.type));
  const row_blocks by_rows(options.executor, job.student.rows, row_bytes);
  constexpr std::size_t block = correlation_job::block_classes;
  const row_blocks by_classes(options.executor, (classes + block - 1) / block,
                              std::max<std::size_t>(job.count * block * 2 * size_of(job.student.type), 1));
  const correlation_memory plan(job, in_double ? 8 : 4);
  workspace own;
  workspace& memory = options.workspace != nullptr ? *options.workspace : own;
  std::byte* const base =
      memory.require(plan.kept() + std::max(by_rows.slots, by_classes.slots) * plan.slot_bytes);
  plan.place(job, base);
  const auto pass = [&](correlation_step step, const row_blocks& blocks) {
    job.step = step;
    blocks.run(options.executor, base + plan.kept(), plan.slot_bytes,
               [&](std::size_t begin, std::size_t end, void* scratch) {
                 if (in_double)
                   correlation_rows_double(job, begin, end, scratch);
                 else
                   correlation_rows_float(job, begin, end, scratch);
               });
  };
  pass(correlation_step::rows, by_rows);
  double value = 0;
  if (job.loss.beta != 0 && job.count > 0)
    value += job.row_factor * compensated_total(job.student.rows, [&](std::size_t row) {
               return job.is_in(row) ? job.rows[row].distance : 0.0;
             });
  if (job.loss.gamma != 0 && job.count > 0) {
    pass(correlation_step::classes, by_classes);
    value +=
        job.class_factor * compensated_total(classes, [&](std::size_t c) { return job.classes.distance[c]; });
  }
  if (job.gradient.data != nullptr) pass(correlation_step::gradient, by_rows);
  return value;
}

DISTILL_INLINE double evaluate_correlation(const correlation_loss& loss, const input_matrix& student,
                                           const input_matrix& teacher, const output_matrix& gradient,
                                           const correlation_options& options) {
  check_correlation(loss, student, teacher, gradient, options);
  correlation_job job;
  job.loss = loss;
  job.student = student;
  job.teacher = teacher;
  job.gradient = gradient;
  job.mask = options.row_mask;
  job.accumulate = options.accumulate;
  for (std::size_t row = 0; row < student.rows; ++row) job.count += job.is_in(row) ? 1 : 0;
  if (job.count > 0) job.row_factor = loss.beta / static_cast<double>(job.count);
  job.class_factor = loss.gamma / static_cast<double>(student.columns);
  const double scale = loss.temperature_squared ? loss.temperature * loss.teacher_temperature : 1;
  job.gradient_factor = options.weight * (scale / loss.temperature);
  constexpr std::size_t widest = widest_vector_bytes / sizeof(float);
  job.pitch = (student.columns + widest - 1) / widest * widest;
  const bool in_double = student.type == element_type::float64 || teacher.type == element_type::float64;
  return options.weight * scale * run_correlation(job, in_double, options);
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
