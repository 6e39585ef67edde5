// Definitions of row_statistics_job.hpp: checks, entries, the walk over the rows. Compiled once
// in src/, or included by row_statistics_job.hpp in header-only mode.
#pragma once

#include <cmath>
#include <distill/teacher/memory_check-inl.hpp>
#include <distill/teacher/row_plan-inl.hpp>
#include <distill/teacher/row_statistics_job.hpp>
#include <distill/teacher/row_sums-inl.hpp>
#include <distill/view/element_access-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/teacher_statistics_rows.cpp, or the end of this file.
DISTILL_INLINE void row_statistics_rows(const row_statistics_job& job, bool in_double, std::size_t begin,
                                        std::size_t end, void* scratch);
DISTILL_INLINE void row_comparison_rows(const row_comparison_job& job, bool in_double, std::size_t begin,
                                        std::size_t end, void* scratch);

// ---- checks

inline void check_row_statistics(const char* name, const row_statistics_job& job) {
  require_temperature(name, "temperature", job.temperature);
  require_input(name, "logits", job.logits);
  require_row_weights(name, "logits", job.weights, job.rows());
  const std::pair<const vector_view<double>*, const char*> outputs[] = {
      {&job.log_sum_exp, "log_sum_exp"},
      {&job.entropy, "entropy"},
      {&job.largest_probability, "largest_probability"},
      {&job.label_log_probability, "label_log_probability"},
      {&job.other_probability, "other_probability"},
      {&job.mean, "mean"},
      {&job.deviation, "deviation"},
      {&job.length, "length"}};
  for (const auto& [output, what] : outputs) require_row_output(name, what, *output, "logits", job.logits);
  require_row_output(name, "largest_class", job.largest_class, "logits", job.logits);
  if (job.needs_label())
    require_labels(name, job.labels, job.ignore_index, job.weights, "logits", job.rows(), job.classes());
}

inline void check_row_comparison(const char* name, const row_comparison_job& job) {
  require_temperature(name, "temperature", job.temperature);
  require_input(name, "student", job.student);
  require_extent(name, "teacher", job.teacher.rows, "rows", "student", job.rows());
  require_extent(name, "teacher", job.teacher.columns, "classes", "student", job.classes());
  require_input(name, "teacher", job.teacher);
  require_row_weights(name, "student", job.weights, job.rows());
  for (const auto& [output, what] :
       {std::pair{job.divergence, "divergence"}, std::pair{job.cosine_distance, "cosine_distance"}})
    for (const auto& [input, input_name] :
         {std::pair{job.student, "student"}, std::pair{job.teacher, "teacher"}})
      require_row_output(name, what, output, input_name, input);
}

// ---- a row's entries

DISTILL_INLINE void write_row_statistics(const row_statistics_job& job, std::size_t row,
                                         const row_sums& sums) {
  const bool is_masked = job.is_masked(row);
  const auto write = [&](const vector_view<double>& to, double value) {
    if (!to.empty()) to[row] = is_masked ? 0 : value;
  };
  const double total = sums.at_maximum + sums.rest;
  const double log_total = std::log(sums.at_maximum) + std::log1p(sums.rest / sums.at_maximum);
  write(job.log_sum_exp, sums.maximum / job.temperature + log_total);
  write(job.entropy, log_total + sums.weighted / total);
  write(job.largest_probability, 1 / total);
  write(job.mean, sums.mean);
  const double less = job.unbiased && sums.counted > 1 ? std::sqrt(sums.counted / (sums.counted - 1)) : 1;
  write(job.deviation, less * sums.deviation);
  write(job.length, sums.length);
  if (job.needs_label()) {
    const std::int64_t label = is_masked ? job.ignore_index : job.labels[row];
    const bool is_ignored = label == job.ignore_index;
    const double z = is_ignored ? 0 : element_at(job.logits, row, static_cast<std::size_t>(label));
    const double log_p = (z - sums.maximum) / job.temperature - log_total;
    const double others = z == sums.maximum ? (sums.at_maximum - 1 + sums.rest) / total : -std::expm1(log_p);
    write(job.label_log_probability, is_ignored ? 0 : log_p);
    write(job.other_probability, is_ignored ? 0 : others);
  }
  if (job.largest_class.empty()) return;
  std::int64_t first = -1;
  for (std::size_t c = 0; first < 0 && !is_masked && sums.maximum == sums.maximum && c < job.classes(); ++c)
    if (element_at(job.logits, row, c) == sums.maximum) first = static_cast<std::int64_t>(c);
  job.largest_class[row] = first;
}

// ---- the walk over the rows

// Decides what the job copies to scratch.
inline row_plan plan_row_statistics(row_statistics_job& job, const executor_ref& executor) {
  const bool in_double = job.logits.type == element_type::float64;
  job.across_rows = job.classes() <= most_classes_per_lane || is_strided_row(job.logits);
  job.pitch =
      job.across_rows ? tile_elements(job.classes(), in_double) : padded_row(job.classes(), in_double);
  const int copies = job.across_rows ? 2 : is_row_in_place(job.logits, in_double) ? 0 : 1;
  return plan_rows(executor, job.rows(), job.classes() * size_of(job.logits.type), copies, job.pitch,
                   in_double);
}
inline row_plan plan_row_comparison(row_comparison_job& job, const executor_ref& executor) {
  const bool in_double =
      job.student.type == element_type::float64 || job.teacher.type == element_type::float64;
  job.across_rows =
      job.classes() <= most_classes_per_lane || (is_strided_row(job.student) && is_strided_row(job.teacher));
  if (job.across_rows) {
    job.copies = 3;
    job.pitch = tile_elements(job.classes(), in_double);
  } else {
    job.student_copy = is_row_in_place(job.student, in_double) ? -1 : job.copies++;
    job.teacher_copy = is_row_in_place(job.teacher, in_double) ? -1 : job.copies++;
    job.pitch = padded_row(job.classes(), in_double);
  }
  return plan_rows(executor, job.rows(),
                   job.classes() * (size_of(job.student.type) + size_of(job.teacher.type)), job.copies,
                   job.pitch, in_double);
}

inline void run_row_statistics(const row_statistics_job& job, const row_plan& plan,
                               const executor_ref& executor, std::byte* scratch) {
  plan.blocks.run(executor, scratch, plan.slot_bytes, [&](std::size_t begin, std::size_t end, void* slot) {
    row_statistics_rows(job, plan.in_double, begin, end, slot);
  });
}
inline void run_row_comparison(const row_comparison_job& job, const row_plan& plan,
                               const executor_ref& executor, std::byte* scratch) {
  plan.blocks.run(executor, scratch, plan.slot_bytes, [&](std::size_t begin, std::size_t end, void* slot) {
    row_comparison_rows(job, plan.in_double, begin, end, slot);
  });
}

DISTILL_INLINE void evaluate_row_statistics(const char* name, row_statistics_job& job,
                                            const executor_ref& executor, workspace* memory) {
  check_row_statistics(name, job);
  const row_plan plan = plan_row_statistics(job, executor);
  workspace own;
  const kept_and_scratch space(memory != nullptr ? *memory : own, 0, plan.bytes());
  run_row_statistics(job, plan, executor, space.scratch);
}

DISTILL_INLINE void evaluate_row_comparison(const char* name, row_comparison_job& job,
                                            const executor_ref& executor, workspace* memory) {
  check_row_comparison(name, job);
  const row_plan plan = plan_row_comparison(job, executor);
  workspace own;
  const kept_and_scratch space(memory != nullptr ? *memory : own, 0, plan.bytes());
  run_row_comparison(job, plan, executor, space.scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/teacher_statistics_rows-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void row_statistics_rows(const row_statistics_job& job, bool in_double, std::size_t begin,
                                std::size_t end, void* scratch) {
  if (in_double)
    simd::HWY_NAMESPACE::RowStatisticsRows<double>(job, begin, end, scratch);
  else
    simd::HWY_NAMESPACE::RowStatisticsRows<float>(job, begin, end, scratch);
}
inline void row_comparison_rows(const row_comparison_job& job, bool in_double, std::size_t begin,
                                std::size_t end, void* scratch) {
  if (in_double)
    simd::HWY_NAMESPACE::RowComparisonRows<double>(job, begin, end, scratch);
  else
    simd::HWY_NAMESPACE::RowComparisonRows<float>(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
