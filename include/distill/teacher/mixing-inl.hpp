// Definitions of mixing_job.hpp: shares, the walk over the rows. Compiled once in src/, or included by
// mixing_job.hpp in header-only mode.
#pragma once

#include <cmath>
#include <distill/teacher/mixing_check-inl.hpp>
#include <distill/teacher/mixing_job.hpp>
#include <distill/teacher/row_plan-inl.hpp>
#include <distill/view/element_access-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/teacher_mixing_rows.cpp, or the end of this file.
DISTILL_INLINE void mixing_rows(const mixing_job& job, bool in_double, std::size_t begin, std::size_t end,
                                void* scratch);

// ---- a row's shares

DISTILL_INLINE teacher_shares shares_of_row(const mixing_job& job, std::size_t row) {
  teacher_shares result;
  const bool is_routed = job.is_routed(), by_row = job.weights_of_rows.data != nullptr;
  const std::size_t count = is_routed ? job.chosen.columns() : job.teachers.size();
  if (job.is_masked(row)) return result;
  double total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t teacher = is_routed ? job.chosen(row, i) : static_cast<std::int32_t>(i);
    if (teacher < 0) continue;
    const auto index = static_cast<std::size_t>(teacher);
    double weight = 1;
    if (by_row)
      weight = element_at(job.weights_of_rows, row, i);
    else if (!job.weights.empty())
      weight = job.weights[index];
    result.share[index] += weight;
    total += weight;
  }
  result.is_empty = !(total > 0);
  for (double& share : result.share) share = result.is_empty ? 0 : share / total;
  return result;
}

// ---- rows that a kernel cannot finish in its own precision

struct log_softmax_row {
  double maximum = 0, log_total = 0;
};

// NaN where the row is no distribution.
inline log_softmax_row normalised_row(std::size_t classes, double temperature, auto logit) {
  log_softmax_row row{-std::numeric_limits<double>::infinity(), 0};
  double total = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    const double z = logit(c);
    if (std::isnan(z)) return {z, z};
    if (z > row.maximum) row.maximum = z;
  }
  if (!std::isfinite(row.maximum)) {
    const double none = std::numeric_limits<double>::quiet_NaN();
    return {none, none};
  }
  for (std::size_t c = 0; c < classes; ++c) total += std::exp((logit(c) - row.maximum) / temperature);
  row.log_total = std::log(total);
  return row;
}

// The logarithm of the mean of probabilities at a class.
inline double mixed_class(const mixing_job& job, const teacher_shares& shares,
                          const std::array<log_softmax_row, teacher_list::capacity>& rows, std::size_t row,
                          std::size_t c) {
  double terms[teacher_list::capacity], largest = -std::numeric_limits<double>::infinity(), sum = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < job.teachers.size(); ++i) {
    if (shares.share[i] == 0) continue;
    const double log_p =
        (element_at(job.teachers[i], row, c) - rows[i].maximum) / job.temperature - rows[i].log_total;
    const double term = terms[count++] = std::log(shares.share[i]) + log_p;
    if (std::isnan(term)) return term;
    if (term > largest) largest = term;
  }
  if (std::isinf(largest)) return largest;
  for (std::size_t i = 0; i < count; ++i) sum += std::exp(terms[i] - largest);
  return largest + std::log(sum);
}

inline double mixed_logit(const mixing_job& job, const teacher_shares& shares, std::size_t row,
                          std::size_t c) {
  double sum = 0;
  for (std::size_t i = 0; i < job.teachers.size(); ++i)
    if (shares.share[i] > 0) sum += shares.share[i] * element_at(job.teachers[i], row, c);
  return sum;
}

inline void resolve_divergences(const mixing_job& job, const teacher_shares& shares,
                                const std::array<log_softmax_row, teacher_list::capacity>& rows,
                                std::size_t row) {
  std::array<double, teacher_list::capacity> sums = {};
  for (std::size_t c = 0; c < job.classes(); ++c) {
    const double log_mean = mixed_class(job, shares, rows, row, c);
    for (std::size_t i = 0; i < job.teachers.size(); ++i) {
      if (shares.share[i] == 0) continue;
      const double log_p =
          (element_at(job.teachers[i], row, c) - rows[i].maximum) / job.temperature - rows[i].log_total;
      const double p = std::exp(log_p), difference = log_p - log_mean;
      sums[i] += p == 0 ? std::exp(log_mean) : p * (difference + std::expm1(-difference));
    }
  }
  for (std::size_t i = 0; i < job.teachers.size(); ++i) assign_at(job.output, row, i, sums[i]);
}

DISTILL_INLINE void resolve_mixed_row(const mixing_job& job, const teacher_shares& shares, std::size_t row) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  if (shares.is_empty) {
    for (std::size_t c = 0; c < job.output.columns; ++c) assign_at(job.output, row, c, none);
    return;
  }
  if (job.kind == mixing_kind::logits || job.kind == mixing_kind::log_probabilities) {
    const auto logit = [&](std::size_t c) { return mixed_logit(job, shares, row, c); };
    log_softmax_row mixed;
    if (job.kind == mixing_kind::log_probabilities)
      mixed = normalised_row(job.classes(), job.temperature, logit);
    for (std::size_t c = 0; c < job.classes(); ++c) {
      const double z = logit(c);
      assign_at(
          job.output, row, c,
          job.kind == mixing_kind::logits ? z : (z - mixed.maximum) / job.temperature - mixed.log_total);
    }
    return;
  }
  std::array<log_softmax_row, teacher_list::capacity> rows = {};
  for (std::size_t i = 0; i < job.teachers.size(); ++i)
    if (shares.share[i] > 0)
      rows[i] = normalised_row(job.classes(), job.temperature,
                               [&](std::size_t c) { return element_at(job.teachers[i], row, c); });
  if (job.kind == mixing_kind::divergences) return resolve_divergences(job, shares, rows, row);
  for (std::size_t c = 0; c < job.classes(); ++c)
    assign_at(job.output, row, c, mixed_class(job, shares, rows, row, c));
}

// ---- the walk over the rows

inline bool is_flat_mixing(const mixing_job& job, bool in_double) {
  const auto is_compact = [&](const input_matrix& m) {
    return is_row_in_place(m, in_double) && m.row_stride == static_cast<std::ptrdiff_t>(m.columns);
  };
  bool is_flat = job.kind == mixing_kind::logits && !job.is_routed() && job.weights_of_rows.data == nullptr &&
                 job.row_weights.empty() && is_compact(as_input(job.output));
  for (std::size_t i = 0; i < job.teachers.size(); ++i) is_flat = is_flat && is_compact(job.teachers[i]);
  return is_flat;
}

// Decides what the job copies to scratch.
inline row_plan plan_mixing(mixing_job& job, const executor_ref& executor) {
  const bool is_mean = job.kind != mixing_kind::divergences;
  bool in_double = is_mean && job.output.type == element_type::float64;
  std::size_t bytes_per_row = 0;
  bool all_strided = true;
  for (std::size_t i = 0; i < job.teachers.size(); ++i) {
    in_double = in_double || job.teachers[i].type == element_type::float64;
    all_strided = all_strided && is_strided_row(job.teachers[i]);
    bytes_per_row += job.classes() * size_of(job.teachers[i].type);
  }
  // Tiles of several teachers fill the first-level cache sooner, and logits repay no transposition.
  const std::size_t most_classes = most_classes_per_lane / (job.kind == mixing_kind::logits ? 8 : 2);
  job.is_flat = is_flat_mixing(job, in_double);
  job.across_rows = !job.is_flat && (job.classes() <= most_classes || all_strided);
  if (job.across_rows) {
    job.copy_count = static_cast<int>(job.teachers.size()) + 2;
    job.pitch = tile_elements(job.classes(), in_double);
    return plan_rows(executor, job.rows(), bytes_per_row, job.copy_count, job.pitch, in_double);
  }
  for (std::size_t i = 0; i < job.teachers.size(); ++i)
    job.copies[i] = is_row_in_place(job.teachers[i], in_double) ? -1 : job.copy_count++;
  // The mean is a scratch row where only the divergences from it are wanted.
  if (!is_mean || !is_row_in_place(as_input(job.output), in_double)) job.output_copy = job.copy_count++;
  job.pitch = padded_row(job.classes(), in_double);
  return plan_rows(executor, job.rows(), bytes_per_row, job.copy_count, job.pitch, in_double);
}

inline void run_mixing(const mixing_job& job, const row_plan& plan, const executor_ref& executor,
                       std::byte* scratch) {
  plan.blocks.run(executor, scratch, plan.slot_bytes, [&](std::size_t begin, std::size_t end, void* slot) {
    mixing_rows(job, plan.in_double, begin, end, slot);
  });
}

inline mixing_job checked_mixing_job(const char* name, mixing_kind kind, const teacher_list& teachers,
                                     const output_matrix& output, double temperature,
                                     const mixing_options& options) {
  mixing_job job;
  job.kind = kind;
  job.teachers = teachers;
  job.output = output;
  job.temperature = temperature;
  job.weights = options.weights;
  job.weights_of_rows = options.weights_of_rows.matrix();
  job.chosen = options.chosen;
  job.row_weights = options.row_weights;
  require_temperature(name, "temperature", temperature);
  check_teachers(name, teachers);
  require_row_weights(name, "teachers[0]", job.row_weights, job.rows());
  check_chosen(name, job);
  check_weights(name, job);
  return job;
}

DISTILL_INLINE void evaluate_mixing(mixing_kind kind, const teacher_list& teachers,
                                    const output_matrix& output, double temperature,
                                    const mixing_options& options) {
  const char* const name = name_of(kind);
  mixing_job job = checked_mixing_job(name, kind, teachers, output, temperature, options);
  check_mixed(name, job);
  const row_plan plan = plan_mixing(job, options.executor);
  workspace own;
  const kept_and_scratch space(options.workspace != nullptr ? *options.workspace : own, 0, plan.bytes());
  run_mixing(job, plan, options.executor, space.scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/teacher_mixing_lanes-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void mixing_rows(const mixing_job& job, bool in_double, std::size_t begin, std::size_t end,
                        void* scratch) {
  if (in_double)
    simd::HWY_NAMESPACE::MixingRows<double>(job, begin, end, scratch);
  else
    simd::HWY_NAMESPACE::MixingRows<float>(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
