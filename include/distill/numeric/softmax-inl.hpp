// Definitions of softmax_job.hpp: checks, scratch, the walk over the rows. Compiled once in src/, or included
// by softmax_job.hpp in header-only mode.
#pragma once

#include <cmath>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/element_access-inl.hpp>
#include <distill/view/require_memory-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/softmax.cpp, or the end of this file in header-only mode.
DISTILL_INLINE void softmax_rows_float(const softmax_job& job, std::size_t begin, std::size_t end,
                                       void* scratch);
DISTILL_INLINE void softmax_rows_double(const softmax_job& job, std::size_t begin, std::size_t end,
                                        void* scratch);

// ---- checks

struct softmax_names {
  const char *function, *input, *output;
};

inline softmax_names names_of(softmax_kind kind) {
  switch (kind) {
    case softmax_kind::softmax:
      return {"softmax", "logits", "output"};
    case softmax_kind::log_softmax:
      return {"log_softmax", "logits", "output"};
    case softmax_kind::log_sum_exp:
      return {"log_sum_exp", "logits", "output"};
    case softmax_kind::log_sum_exp_backward:
      return {"log_sum_exp_backward", "logits", "gradient"};
    case softmax_kind::softmax_backward:
      return {"softmax_backward", "probabilities", "gradient"};
    case softmax_kind::log_softmax_backward:
      return {"log_softmax_backward", "log_probabilities", "gradient"};
  }
  return {};
}

inline bool is_backward_of_matrix(softmax_kind kind) {
  return kind == softmax_kind::softmax_backward || kind == softmax_kind::log_softmax_backward;
}

// A matrix of the input's extents, or a vector with an entry for each of its rows.
template <class Void>
void require_extents(const softmax_names& names, const char* what, const untyped_matrix<Void>& m,
                     const input_matrix& input, bool is_vector) {
  require_extent(names.function, what, m.rows, is_vector ? "entries" : "rows", names.input, input.rows);
  if (!is_vector) require_extent(names.function, what, m.columns, "classes", names.input, input.columns);
  require_memory(names.function, what, m);
}

inline void check_softmax(softmax_kind kind, const input_matrix& input, const input_matrix& upstream,
                          const output_matrix& output, const softmax_options& options) {
  const softmax_names names = names_of(kind);
  const std::string function = names.function;
  require_temperature(function, "temperature", options.temperature);
  for (const auto& [extent, unit] : {std::pair{input.rows, "rows"}, std::pair{input.columns, "classes"}})
    if (extent == 0) throw shape_error(function + ": " + names.input + " has 0 " + unit);
  require_memory(names.function, names.input, input);
  const bool has_upstream = kind == softmax_kind::log_sum_exp_backward || is_backward_of_matrix(kind);
  if (has_upstream) require_extents(names, "upstream", upstream, input, !is_backward_of_matrix(kind));
  const bool to_vector = kind == softmax_kind::log_sum_exp;
  require_extents(names, names.output, output, input, to_vector);
  const bool widened = size_of(input.type) == 2 && output.type == element_type::float32;
  if (!to_vector && output.type != input.type && !widened)
    throw layout_error(function + ": " + names.output + " is " + name_of(output.type) + ", " + names.input +
                       " is " + name_of(input.type) + "; it must be the same" +
                       (size_of(input.type) == 2 ? ", or float32" : ""));
  require_distinct_elements(function, names.output, output);
  require_no_overlap(function, names.input, input, names.output, output);
  if (!has_upstream) return;
  if (is_backward_of_matrix(kind))
    require_no_overlap(function, "upstream", upstream, names.output, output);
  else if (intersect(bytes_of(upstream), bytes_of(output)))
    throw layout_error(function + ": gradient overlaps upstream");
}

// ---- rows that a kernel cannot finish in its own precision

// A forward row, or log_sum_exp_backward's, in double and without SIMD: logits so large or a temperature so
// small that the kernels overflow; and NaN for rows that have no softmax.
DISTILL_INLINE void resolve_softmax_row(const softmax_job& job, std::size_t row) {
  double maximum = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < job.classes(); ++c) {
    const double z = element_at(job.input, row, c);
    if (std::isnan(z) || z > maximum) maximum = z;
    if (std::isnan(z)) break;
  }
  const double poison = std::isfinite(maximum) ? 0 : std::numeric_limits<double>::quiet_NaN();
  const auto exponent = [&](std::size_t c) {
    return (element_at(job.input, row, c) - maximum) / job.temperature;
  };
  double sum = poison;
  for (std::size_t c = 0; c < job.classes() && std::isfinite(sum); ++c) sum += std::exp(exponent(c));
  if (job.kind == softmax_kind::log_sum_exp)
    return assign_at(job.output, row, 0, maximum / job.temperature + std::log(sum));
  const double scale =
      job.kind == softmax_kind::log_sum_exp_backward ? element_at(job.upstream, row, 0) / job.temperature : 1;
  for (std::size_t c = 0; c < job.classes(); ++c) {
    const bool is_log = job.kind == softmax_kind::log_softmax;
    const double value = is_log ? exponent(c) - std::log(sum) : scale * (std::exp(exponent(c)) / sum);
    assign_at(job.output, row, c, value + poison);
  }
}

// ---- the walk over the rows

// Few classes, or classes in the strided direction: one row per lane.
inline bool walks_across_rows(const input_matrix& input) {
  constexpr std::size_t few_classes = 32, most_strided_classes = 4096;
  const bool strided = input.column_stride != 1 && input.row_stride == 1;
  return input.columns <= few_classes || (strided && input.columns <= most_strided_classes);
}

template <class Void>
bool is_contiguous(const untyped_matrix<Void>& m, element_type type) {
  return m.type == type && (m.column_stride == 1 || m.columns == 1);
}

inline softmax_scratch plan_scratch(const softmax_job& job, element_type compute) {
  const std::size_t lanes = widest_vector_bytes / size_of(compute);
  softmax_scratch plan;
  if (job.across_rows) {
    return {.exponentials = 0,
            .input = 1,
            .upstream = 2,
            .output = 3,
            .count = 4,
            .pitch = job.classes() * lanes};
  }
  plan.pitch = (job.classes() + lanes - 1) / lanes * lanes;
  const bool backward = is_backward_of_matrix(job.kind), to_vector = job.kind == softmax_kind::log_sum_exp;
  const element_type type = job.input.type;
  const bool reads_16_bits = !backward && size_of(type) == 2 && is_contiguous(job.input, type) &&
                             (to_vector || is_contiguous(job.output, type));
  if (job.kind == softmax_kind::softmax || job.kind == softmax_kind::log_sum_exp_backward)
    plan.exponentials = plan.count++;
  if (!reads_16_bits && !is_contiguous(job.input, compute)) plan.input = plan.count++;
  if (backward && !is_contiguous(job.upstream, compute)) plan.upstream = plan.count++;
  if (!reads_16_bits && !to_vector && !is_contiguous(job.output, compute)) plan.output = plan.count++;
  return plan;
}

DISTILL_INLINE void evaluate_softmax(softmax_kind kind, const input_matrix& input,
                                     const input_matrix& upstream, const output_matrix& output,
                                     const softmax_options& options) {
  check_softmax(kind, input, upstream, output, options);
  softmax_job job;
  job.kind = kind;
  job.input = input;
  job.upstream = upstream;
  job.output = output;
  job.temperature = options.temperature;
  job.across_rows = walks_across_rows(input);
  // In place the lines to be written are in the cache already.
  job.bypass_cache = output.data != input.data && output.data != upstream.data &&
                     output.rows * output.columns * size_of(output.type) > cache_worth_keeping;
  const bool in_double = input.type == element_type::float64 ||
                         (is_backward_of_matrix(kind) && upstream.type == element_type::float64);
  const element_type compute = in_double ? element_type::float64 : element_type::float32;
  job.scratch = plan_scratch(job, compute);
  const row_blocks blocks(options.executor, job.rows(), 2 * job.classes() * size_of(input.type));
  const std::size_t slot_bytes =
      static_cast<std::size_t>(job.scratch.count) * job.scratch.pitch * size_of(compute);
  const call_memory memory(options.workspace, 0, blocks.slots, slot_bytes);
  memory.run(options.executor, blocks, in_double ? softmax_rows_double : softmax_rows_float, job);
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/softmax-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void softmax_rows_float(const softmax_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::SoftmaxRowsFloat(job, begin, end, scratch);
}
inline void softmax_rows_double(const softmax_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::SoftmaxRowsDouble(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
