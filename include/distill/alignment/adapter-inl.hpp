// Definitions of adapter.hpp: the products and the steps between them. Compiled once
// in src/, or included by adapter.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <distill/alignment/adapter_check-inl.hpp>
#include <distill/alignment/adapter_job.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

// The kernels, on the active target: src/adapter_rows.cpp, or the end of this file in header-only mode.
// `begin` and `end` are columns for column_sums.
DISTILL_INLINE void adapter_rows(const adapter_job& job, std::size_t begin, std::size_t end);

// ---- products and steps

template <class T>
matrix_view<T> transposed(const matrix_view<T>& m) {
  return {m.data_handle(), m.columns(), m.rows(), m.stride(1), m.stride(0)};
}

template <class T>
adapter_job step_of(adapter_step step, std::size_t rows, std::size_t columns) {
  adapter_job job;
  job.step = step;
  job.type = element_traits<T>::type;
  job.rows = rows;
  job.columns = columns;
  return job;
}

template <class T>
void set_input(adapter_job& job, const matrix_view<T>& m) {
  job.input = const_cast<std::remove_const_t<T>*>(m.data_handle());
  job.input_pitch = m.stride(0);
}
template <class T>
void set_output(adapter_job& job, const matrix_view<T>& m) {
  job.output = m.data_handle();
  job.output_pitch = m.stride(0);
}

inline void run_step(const adapter_job& job, const executor_ref& executor) {
  constexpr std::size_t bytes_per_block = std::size_t{64} << 10, columns_per_block = 64;
  if (job.step == adapter_step::column_sums) {
    const std::size_t blocks = (job.columns + columns_per_block - 1) / columns_per_block;
    executor.for_each_block(blocks, 1, [&](std::size_t begin, std::size_t end) {
      adapter_rows(job, begin * columns_per_block, std::min(end * columns_per_block, job.columns));
    });
    return;
  }
  const std::size_t grain = bytes_per_block / (2 * job.columns * size_of(job.type)) + 1;
  executor.for_each_block(job.rows, grain,
                          [&](std::size_t begin, std::size_t end) { adapter_rows(job, begin, end); });
}

// The parts of what forward saves.
template <class T>
struct adapter_saved {
  matrix_view<T> sums, activations;  // [rows, bottleneck] before and after GELU
  T* normalized = nullptr;           // [rows, teacher_width]
  T* inverse_deviation = nullptr;    // [rows]

  adapter_saved(const adapter& a, std::span<T> memory, std::size_t rows) {
    T* next = memory.data();
    sums = {next, rows, a.bottleneck};
    activations = {next + rows * a.bottleneck, rows, a.bottleneck};
    if (!a.layer_norm) return;
    normalized = next + 2 * rows * a.bottleneck;
    inverse_deviation = normalized + rows * a.teacher_width;
  }
};

template <class T>
void adapter_forward(const adapter& a, const matrix_view<const T>& input, const matrix_view<T>& output,
                     const adapter_call<T>& call) {
  check_adapter(a);
  const std::size_t rows = input.rows();
  if (rows == 0) throw shape_error("adapter: input has 0 rows");
  check_adapter_rows("input", input, rows, a.student_width);
  check_adapter_rows("output", output, rows, a.teacher_width);
  check_adapter_memory("parameters", call.parameters.size(), a.parameter_count());
  check_adapter_memory("saved", call.saved.size(), a.saved_count(rows));
  require_apart("adapter", {{"output", bytes_of(output)}, {"saved", bytes_of(call.saved)}},
                {{"input", bytes_of(input)}, {"parameters", bytes_of(call.parameters)}});
  const adapter_parameters<const T> parts = a.view(call.parameters);
  const adapter_saved<T> saved(a, call.saved, rows);
  matrix_view<const T> inner = input;
  if (a.bottleneck > 0) {
    call.product.multiply(1, input, transposed(parts.down_weight), 0, saved.sums);
    adapter_job job = step_of<T>(adapter_step::activate, rows, a.bottleneck);
    set_input(job, saved.sums);
    set_output(job, saved.activations);
    job.bias = parts.down_bias.data_handle();
    run_step(job, call.executor);
    inner = saved.activations;
  }
  call.product.multiply(1, inner, transposed(parts.up_weight), 0, output);
  adapter_job job = step_of<T>(adapter_step::finish, rows, a.teacher_width);
  if (a.residual) set_input(job, input);
  set_output(job, output);
  job.bias = parts.up_bias.data_handle();
  job.gain = parts.gain.data_handle();
  job.shift = parts.shift.data_handle();
  job.normalized = saved.normalized;
  job.inverse_deviation = saved.inverse_deviation;
  job.epsilon = a.epsilon;
  run_step(job, call.executor);
}

// output (+)= the columns' sums of input, or of input times upstream.
template <class T>
void sum_columns(const matrix_view<const T>& input, const matrix_view<const T>& upstream,
                 const vector_view<T>& output, const adapter_call<T>& call) {
  adapter_job job = step_of<T>(adapter_step::column_sums, input.rows(), input.columns());
  set_input(job, input);
  job.upstream = upstream.data_handle();
  job.upstream_pitch = upstream.stride(0);
  job.output = output.data_handle();
  job.accumulate = call.accumulate;
  run_step(job, call.executor);
}

// dLoss/dInput: the product's part, and the residual's before it.
template <class T>
void adapter_input_gradient(const adapter& a, const matrix_view<const T>& upstream,
                            const matrix_view<const T>& inner_gradient, const matrix_view<const T>& weight,
                            const matrix_view<T>& gradient, const adapter_call<T>& call) {
  if (a.residual) {
    adapter_job job = step_of<T>(adapter_step::add, gradient.rows(), gradient.columns());
    set_input(job, upstream);
    set_output(job, gradient);
    job.accumulate = call.accumulate;
    run_step(job, call.executor);
  }
  call.product.multiply(1, inner_gradient, weight, a.residual || call.accumulate ? 1 : 0, gradient);
}

template <class T>
void adapter_backward(const adapter& a, const matrix_view<const T>& input, matrix_view<const T> upstream,
                      const matrix_view<T>& gradient, const adapter_call<T>& call) {
  check_adapter_backward(a, input, upstream, gradient, call);
  const std::size_t rows = input.rows(), normalized_count = a.layer_norm ? rows * a.teacher_width : 0;
  workspace own;
  workspace& memory = call.workspace != nullptr ? *call.workspace : own;
  T* const scratch =
      reinterpret_cast<T*>(memory.require((normalized_count + rows * a.bottleneck) * sizeof(T)));
  const adapter_parameters<const T> parts = a.view(call.parameters);
  const adapter_saved<T> saved(a, call.saved, rows);
  const bool has_parameters = !call.parameter_gradient.empty();
  adapter_parameters<T> slopes;
  if (has_parameters) slopes = a.view(call.parameter_gradient);
  const double beta = call.accumulate ? 1 : 0;

  if (a.layer_norm) {
    const matrix_view<T> normalized(saved.normalized, rows, a.teacher_width);
    if (has_parameters) {
      sum_columns<T>(upstream, normalized, slopes.gain, call);
      sum_columns<T>(upstream, {}, slopes.shift, call);
    }
    const matrix_view<T> before(scratch, rows, a.teacher_width);
    adapter_job job = step_of<T>(adapter_step::normalize_backward, rows, a.teacher_width);
    set_input(job, normalized);
    job.upstream = upstream.data_handle();
    job.upstream_pitch = upstream.stride(0);
    set_output(job, before);
    job.gain = parts.gain.data_handle();
    job.inverse_deviation = saved.inverse_deviation;
    run_step(job, call.executor);
    upstream = before;
  }
  const matrix_view<const T> inner = a.bottleneck > 0 ? matrix_view<const T>(saved.activations) : input;
  if (has_parameters) {
    sum_columns<T>(upstream, {}, slopes.up_bias, call);
    call.product.multiply(1, transposed(upstream), inner, beta, slopes.up_weight);
  }
  if (a.bottleneck == 0) {
    if (gradient.data_handle() != nullptr)
      adapter_input_gradient(a, upstream, upstream, parts.up_weight, gradient, call);
    return;
  }
  const matrix_view<T> sums_gradient(scratch + normalized_count, rows, a.bottleneck);
  call.product.multiply(1, upstream, parts.up_weight, 0, sums_gradient);
  adapter_job job = step_of<T>(adapter_step::activate_backward, rows, a.bottleneck);
  set_input(job, saved.sums);
  set_output(job, sums_gradient);
  run_step(job, call.executor);
  const matrix_view<const T> slope = sums_gradient;
  if (has_parameters) {
    sum_columns<T>(slope, {}, slopes.down_bias, call);
    call.product.multiply(1, transposed(slope), input, beta, slopes.down_weight);
  }
  if (gradient.data_handle() != nullptr)
    adapter_input_gradient(a, upstream, slope, parts.down_weight, gradient, call);
}

}  // namespace detail

DISTILL_INLINE void adapter::initialize(std::span<float> parameters,
                                        const adapter_initialization& how) const {
  detail::initialize_adapter(*this, parameters, how);
}
DISTILL_INLINE void adapter::initialize(std::span<double> parameters,
                                        const adapter_initialization& how) const {
  detail::initialize_adapter(*this, parameters, how);
}
DISTILL_INLINE void adapter::run_forward(matrix_view<const float> input, matrix_view<float> output,
                                         const adapter_call<float>& call) const {
  detail::adapter_forward(*this, input, output, call);
}
DISTILL_INLINE void adapter::run_forward(matrix_view<const double> input, matrix_view<double> output,
                                         const adapter_call<double>& call) const {
  detail::adapter_forward(*this, input, output, call);
}
DISTILL_INLINE void adapter::run_backward(matrix_view<const float> input, matrix_view<const float> upstream,
                                          matrix_view<float> gradient,
                                          const adapter_call<float>& call) const {
  detail::adapter_backward(*this, input, upstream, gradient, call);
}
DISTILL_INLINE void adapter::run_backward(matrix_view<const double> input, matrix_view<const double> upstream,
                                          matrix_view<double> gradient,
                                          const adapter_call<double>& call) const {
  detail::adapter_backward(*this, input, upstream, gradient, call);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/adapter-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {
inline void adapter_rows(const adapter_job& job, std::size_t begin, std::size_t end) {
  simd::HWY_NAMESPACE::AdapterRows(job, begin, end);
}
}  // namespace distill::inline DISTILL_ABI::detail
#endif
