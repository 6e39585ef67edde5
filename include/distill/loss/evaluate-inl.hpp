// Definitions of evaluate.hpp: denominators, scratch, the walk over the rows. Compiled once in src/, or
// included by evaluate.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/loss/check-inl.hpp>
#include <distill/loss/denominator-inl.hpp>
#include <distill/loss/loss_text-inl.hpp>
#include <distill/loss/row_job.hpp>
#include <distill/numeric/compensated_sum-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

// The kernels: src/evaluate_rows_*.cpp, or evaluate_rows-inl.hpp in header-only mode.
DISTILL_INLINE void evaluate_rows_float(const row_job& job, std::size_t begin, std::size_t end,
                                        void* scratch);
DISTILL_INLINE void evaluate_rows_double(const row_job& job, std::size_t begin, std::size_t end,
                                         void* scratch);

DISTILL_INLINE bool has_ranking(const row_job& job) {
  for (std::size_t i = 0; i < job.term_count; ++i)
    if (job.terms[i].ranks()) return true;
  return false;
}

// Few classes, or classes in the strided direction: one row per lane.
DISTILL_INLINE bool walks_across_rows(const row_job& job) {
  constexpr std::size_t few_classes = 32, most_strided_classes = 4096;
  if (has_ranking(job)) return false;
  for (std::size_t i = 0; i < job.term_count; ++i)
    if (job.terms[i].kind == loss_kind::user_divergence || job.terms[i].transforms_rows() ||
        job.mixes_temperatures(job.terms[i]))
      return false;
  const bool strided = job.student.column_stride != 1 && job.student.row_stride == 1;
  return job.classes() <= few_classes || (strided && job.classes() <= most_strided_classes);
}

template <class Void>
bool is_contiguous_row_of(const untyped_matrix<Void>& m, element_type type) {
  return m.type == type && (m.column_stride == 1 || m.columns == 1);
}

// forward_kl reads and writes contiguous bfloat16 rows itself.
DISTILL_INLINE bool reads_bfloat16_rows(const row_job& job, element_type compute) {
  const element_type type = job.student.type;
  return compute == element_type::float32 && type == element_type::bfloat16 && job.term_count == 1 &&
         job.temperature_slopes.empty() && job.terms[0].kind == loss_kind::forward_kl &&
         is_contiguous_row_of(job.student, type) && is_contiguous_row_of(job.teacher, type) &&
         (job.gradient.data == nullptr || (is_contiguous_row_of(job.gradient, type) && !job.accumulate));
}

// Rows so short that forward_kl evaluates them in batches, with two scratch rows for each row of a batch.
DISTILL_INLINE bool has_short_rows(const row_job& job, element_type compute) {
  constexpr std::size_t most_short_classes = 512;
  if (job.across_rows || compute != element_type::float32 || job.classes() > most_short_classes) return false;
  if (job.mixes_temperatures(job.terms[0])) return false;
  if (reads_bfloat16_rows(job, compute)) return true;
  return job.term_count == 1 && job.terms[0].kind == loss_kind::forward_kl &&
         is_contiguous_row_of(job.student, compute) && is_contiguous_row_of(job.teacher, compute) &&
         (job.gradient.data == nullptr || (is_contiguous_row_of(job.gradient, compute) && !job.accumulate));
}

// Losses that one visit of a row in float serves: all that compare teacher and student do so at the same
// temperatures, and at most one has labels.
DISTILL_INLINE bool has_one_pair(const row_job& job, element_type compute) {
  if (job.across_rows || compute != element_type::float32 || has_ranking(job)) return false;
  const loss_term* pair = nullptr;
  int labels = 0;
  for (std::size_t i = 0; i < job.term_count; ++i) {
    const loss_term& term = job.terms[i];
    if (term.kind == loss_kind::user_divergence || term.transforms_rows()) return false;
    if (term.needs_labels() && ++labels > 1) return false;
    if (!term.compares_distributions()) continue;
    if (pair == nullptr) pair = &term;
    if (!term.shares_temperatures_with(*pair)) return false;
  }
  return pair != nullptr;
}

DISTILL_INLINE scratch_rows plan_scratch(const row_job& job, element_type compute) {
  scratch_rows plan;
  const std::size_t lanes = widest_vector_bytes / size_of(compute);
  if (job.across_rows) {
    plan.count = 5;
    plan.pitch = job.classes() * lanes;
    return plan;
  }
  plan.pitch = (job.classes() + lanes - 1) / lanes * lanes;
  if (job.short_rows) plan.count = 2 * static_cast<int>(lanes);
  if (!reads_bfloat16_rows(job, compute)) {
    if (!is_contiguous_row_of(job.student, compute)) plan.student = plan.append();
    if (job.teacher.data != nullptr && !is_contiguous_row_of(job.teacher, compute))
      plan.teacher = plan.append();
    const bool one_store = job.term_count == 1 || job.one_pair;
    const bool in_place = is_contiguous_row_of(job.gradient, compute) && !job.accumulate && one_store;
    if (job.gradient.data != nullptr && !in_place) plan.gradient = plan.append();
  }
  if (has_ranking(job)) {
    plan.ranking = plan.count;
    plan.count += static_cast<int>((ranking_scratch(job.classes()) + plan.pitch - 1) / plan.pitch);
  }
  if (job.one_pair && job.term_count > 1 && job.gradient.data != nullptr) plan.third = plan.append();
  for (std::size_t i = 0; i < job.term_count; ++i) {
    const bool adaptive = job.terms[i].kind == loss_kind::adaptive_kl;
    if ((adaptive || job.terms[i].kind == loss_kind::user_divergence) && plan.slope < 0)
      plan.slope = plan.append();
    if (adaptive && plan.candidates < 0) plan.candidates = plan.append();
  }
  return plan;
}

// Walks all rows. The first `kept` bytes of the workspace hold the losses and stay.
DISTILL_INLINE void run(row_job& job, element_type compute, const executor_ref& executor, workspace& memory,
                        std::size_t kept) {
  const bool only_slopes = !job.temperature_slopes.empty();
  job.short_rows = !only_slopes && has_short_rows(job, compute);
  job.one_pair = !only_slopes && has_one_pair(job, compute);
  job.scratch = plan_scratch(job, compute);
  const std::size_t bytes_per_row = job.classes() * (size_of(job.student.type) + size_of(job.teacher.type));
  const row_blocks blocks(executor, job.rows(), bytes_per_row);
  const std::size_t slot_bytes =
      round_up_to_line(static_cast<std::size_t>(job.scratch.count) * job.scratch.pitch * size_of(compute));
  std::byte* const base = memory.require(kept + blocks.slots * slot_bytes);
  job.losses = reinterpret_cast<double*>(base);
  blocks.run(executor, base + kept, slot_bytes, [&](std::size_t begin, std::size_t end, void* scratch) {
    if (compute == element_type::float64)
      evaluate_rows_double(job, begin, end, scratch);
    else
      evaluate_rows_float(job, begin, end, scratch);
  });
}

// A walk of its own, before a gradient may go over the student's logits.
DISTILL_INLINE void run_temperature_slopes(row_job job, const vector_view<double>& slopes,
                                           element_type compute, const executor_ref& executor,
                                           workspace& memory) {
  job.temperature_slopes = slopes;
  job.gradient = {};
  job.across_rows = false;
  run(job, compute, executor, memory, 0);
  if (compute == element_type::float64) return;
  for (std::size_t row = 0; row < slopes.size() && !job.only_unresolved; ++row)
    job.only_unresolved = !std::isfinite(slopes[row]);
  if (job.only_unresolved) run(job, element_type::float64, executor, memory, 0);
}

DISTILL_INLINE bool any_unresolved(const row_job& job) {
  const std::size_t count = job.term_count * job.rows(), even = count / 4 * 4;
  double probe[4] = {};  // stays 0 while all are finite
  for (std::size_t i = 0; i < even; i += 4)
    for (std::size_t chain = 0; chain < 4; ++chain) probe[chain] += 0 * job.losses[i + chain];
  for (std::size_t i = even; i < count; ++i) probe[0] += 0 * job.losses[i];
  return probe[0] + probe[1] + probe[2] + probe[3] != 0;
}

// What each term's sum is divided by; 0 if no row counts.
DISTILL_INLINE double denominator_of(const row_job& job, const loss_term& term, const row_options& rows) {
  if (!term.needs_labels()) return denominator_of(rows, rows_that_count(rows, job.rows()), job.classes());
  std::size_t counted = 0;
  for (std::size_t row = 0; row < job.rows(); ++row) counted += job.counts(term, row) ? 1 : 0;
  return denominator_of(rows, counted, job.classes());
}

DISTILL_INLINE double total_of(const row_job& job, const row_options& rows) {
  double total = 0;
  for (std::size_t i = 0; i < job.term_count; ++i) {
    const loss_term& term = job.terms[i];
    const double* losses = job.losses + i * job.rows();
    const bool all_alike = job.weights.empty() && !term.needs_labels();
    const auto weighted = [&](std::size_t row) {
      return job.counts(term, row) ? static_cast<double>(job.weight(row)) * losses[row] : 0.0;
    };
    total += job.factors[i] *
             (all_alike ? compensated_total(job.rows(), [=](std::size_t row) { return losses[row]; })
                        : compensated_total(job.rows(), weighted));
  }
  for (std::size_t row = 0; row < rows.row_values.size(); ++row) {
    double value = 0;
    for (std::size_t i = 0; i < job.term_count; ++i)
      if (job.counts(job.terms[i], row))
        value += job.terms[i].coefficient * static_cast<double>(job.weight(row)) * job.loss(i, row);
    rows.row_values[row] = value;
  }
  return total;
}

}  // namespace detail

DISTILL_INLINE double evaluate(const char* name, std::span<const loss_term> terms,
                               const detail::input_matrix& student, const detail::input_matrix& teacher,
                               const detail::output_matrix& gradient, const row_options& rows) {
  detail::check_arguments(name, terms, student, teacher, gradient, rows);
  detail::row_job job;
  job.terms = terms.data();
  job.term_count = terms.size();
  job.student = student;
  for (const loss_term& term : terms)
    if (term.needs_teacher()) job.teacher = teacher;
  job.gradient = gradient;
  job.weights = rows.row_weights;
  job.accumulate = rows.accumulate;
  std::array<double, detail::most_terms> factors{};
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const double denominator = detail::denominator_of(job, terms[i], rows);
    factors[i] = denominator > 0 ? terms[i].coefficient / denominator : 0;
  }
  job.factors = factors.data();
  const bool in_double = student.type == element_type::float64 || job.teacher.type == element_type::float64;
  job.across_rows = detail::walks_across_rows(job);
  job.bypass_cache = gradient.data != nullptr &&
                     gradient.rows * gradient.columns * size_of(gradient.type) > detail::cache_worth_keeping;

  workspace own;
  workspace& memory = rows.workspace != nullptr ? *rows.workspace : own;
  const std::size_t kept = detail::round_up_to_line(terms.size() * student.rows * sizeof(double));
  const element_type compute = in_double ? element_type::float64 : element_type::float32;
  if (!rows.temperature_slopes.empty())
    detail::run_temperature_slopes(job, rows.temperature_slopes, compute, rows.executor, memory);
  detail::run(job, compute, rows.executor, memory, kept);
  if (!in_double && detail::any_unresolved(job)) {
    job.only_unresolved = true;
    job.across_rows = false;
    detail::run(job, element_type::float64, rows.executor, memory, kept);
  }
  return detail::total_of(job, rows);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/loss/evaluate_rows-inl.hpp>
#endif
