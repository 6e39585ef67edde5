// Definitions of top_k_gate.hpp: scratch, the walk over the tokens, the statistics. Compiled once in src/, or
// included by gate_job.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <distill/execution/row_blocks-inl.hpp>
#include <distill/moe/gate_check-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// The kernels, on the active target: src/top_k_gate_rows_*.cpp, or the end of this file in header-only mode.
DISTILL_INLINE void route_float(const gate_job& job, std::size_t begin, std::size_t end, void* scratch);
DISTILL_INLINE void route_double(const gate_job& job, std::size_t begin, std::size_t end, void* scratch);
DISTILL_INLINE void route_backward_float(const gate_job& job, std::size_t begin, std::size_t end,
                                         void* scratch);
DISTILL_INLINE void route_backward_double(const gate_job& job, std::size_t begin, std::size_t end,
                                          void* scratch);

// Few experts: one token per lane from the start. Few enough that inserting all of them into the k best costs
// less than looking for candidates; measured with AVX-512, no worse with fewer lanes.
inline bool routes_across_tokens(const gate_job& job, element_type compute) {
  constexpr std::size_t most_inserted = 8, most_experts = 64, most_insertions = 256;
  return compute == element_type::float32 && !job.replay && !job.is_perturbed() && !job.needs_scores() &&
         !job.has_groups() && job.gate.k <= most_inserted && job.expert_count() <= most_experts &&
         job.expert_count() * job.gate.k <= most_insertions;
}

// The same of a gradient; all of its tokens have the same slopes.
inline bool passes_across_tokens(const gate_job& job, element_type compute) {
  constexpr std::size_t most_experts = 32;
  return compute == element_type::float32 && job.expert_count() <= most_experts && job.is_softmax() &&
         job.is_sparse() && !job.selected_only && !job.is_perturbed() && job.slopes.rows() <= 1;
}

inline gate_scratch plan_gate_scratch(const gate_job& job, element_type compute) {
  constexpr std::size_t vector_bytes = 64, slack = 64, candidates = 16;
  const std::size_t element = size_of(compute), lanes = vector_bytes / element, n = job.expert_count(),
                    k = job.gate.k;
  gate_scratch plan;
  plan.pitch = (n + lanes - 1) / lanes * lanes;
  const auto take = [&](std::size_t& offset, std::size_t bytes) {
    offset = plan.bytes;
    plan.bytes += round_up_to_line(bytes);
  };
  const std::size_t row = plan.pitch * element, tile = n * vector_bytes;
  if (job.across_tokens) {
    take(plan.tile, tile), take(plan.staging, tile), take(plan.exponentials, tile), take(plan.sums, tile);
  } else {
    take(plan.rows, lanes * row), take(plan.prepared, lanes * row), take(plan.exponentials, lanes * row);
    take(plan.sums, row);
    const std::size_t selected = (n + slack) * element;
    take(plan.values, selected), take(plan.ids, selected), take(plan.keys, selected);
    take(plan.candidates, candidates * vector_bytes), take(plan.candidate_ids, candidates * vector_bytes);
    take(plan.sorted, n * sizeof(std::int32_t));
  }
  take(plan.bias, row);
  take(plan.logits, k * vector_bytes), take(plan.weights, k * vector_bytes),
      take(plan.upstream, k * vector_bytes);
  take(plan.experts, k * lanes * sizeof(std::int32_t));
  return plan;
}

// Tokens whose statistics are summed together: a matter of the tokens alone, so that the sums do not depend
// on who runs them.
inline std::size_t tokens_per_chunk(std::size_t tokens) {
  constexpr std::size_t least = 64, most_chunks = 1024, tile = 16;
  const std::size_t each = (tokens + most_chunks - 1) / most_chunks;
  return std::max(least, (each + tile - 1) / tile * tile);
}

// Adds chunks [begin, end).
inline void add_chunks(const gate_job& job, std::size_t begin, std::size_t end, router_statistics& to) {
  const std::size_t n = job.expert_count();
  for (std::size_t c = begin; c < end; ++c) {
    const std::int64_t* const counters = job.counters + c * (n + 2);
    for (std::size_t e = 0; e < n; ++e) to.assignments[e] += counters[e];
    to.tokens += counters[n];
    to.bad_rows += counters[n + 1];
    if (to.probability_sums.empty()) continue;
    const double* const sums = job.sums + c * (n + 1);
    for (std::size_t e = 0; e < n; ++e) to.probability_sums[e] += sums[e];
    to.squared_log_sum_exp += sums[n];
  }
}

inline void add_counts(const gate_job& job, const gate_options& options) {
  const std::size_t each = job.chunks_per_sequence();
  if (options.statistics != nullptr) add_chunks(job, 0, job.sequences() * each, *options.statistics);
  for (std::size_t s = 0; options.sequences != nullptr && s < job.sequences(); ++s) {
    router_statistics row = (*options.sequences)[s];
    add_chunks(job, s * each, (s + 1) * each, row);
    options.sequences->tokens[s] = row.tokens;
  }
}

inline gate_job job_of(const top_k_gate& gate, const input_matrix& logits) {
  gate_job job;
  job.gate = gate;
  job.logits = logits;
  return job;
}

DISTILL_INLINE void route(const top_k_gate& gate, const char* function, const input_matrix& logits,
                          const matrix_view<std::int32_t>& experts, const output_matrix& weights, bool replay,
                          const gate_options& options) {
  gate_job job = job_of(gate, logits);
  job.experts = experts;
  job.weights = weights;
  job.replay = replay;
  job.token_mask = options.token_mask;
  job.random = options.random;
  job.noise_deviation = options.noise_deviation;
  check_route(function, job, options);
  if (job.tokens() == 0) return;
  const bool by_sequence = options.sequences != nullptr;
  job.counts = by_sequence || options.statistics != nullptr;
  job.sums_probabilities = (by_sequence && options.sequences->probability_sums.rows() > 0) ||
                           (options.statistics != nullptr && !options.statistics->probability_sums.empty());
  const bool in_double = logits.type == element_type::float64;
  const element_type compute = in_double ? element_type::float64 : element_type::float32;
  job.across_tokens = routes_across_tokens(job, compute);
  job.scratch = plan_gate_scratch(job, compute);
  job.sequence = by_sequence ? job.tokens() / options.sequences->sequences() : job.tokens();
  job.chunk = tokens_per_chunk(job.tokens());
  const std::size_t chunks = job.sequences() * job.chunks_per_sequence(), n = job.expert_count();
  const row_blocks blocks(options.executor, chunks, job.chunk * n * size_of(logits.type));
  const std::size_t counter_bytes =
      job.counts ? round_up_to_line(chunks * (n + 2) * sizeof(std::int64_t)) : 0;
  const std::size_t sum_bytes =
      job.sums_probabilities ? round_up_to_line(chunks * (n + 1) * sizeof(double)) : 0;
  workspace own;
  std::byte* const memory = (options.workspace != nullptr ? *options.workspace : own)
                                .require(counter_bytes + sum_bytes + blocks.slots * job.scratch.bytes);
  job.counters = reinterpret_cast<std::int64_t*>(memory);
  job.sums = reinterpret_cast<double*>(memory + counter_bytes);
  std::fill_n(memory, counter_bytes + sum_bytes, std::byte{0});
  blocks.run(options.executor, memory + counter_bytes + sum_bytes, job.scratch.bytes,
             [&](std::size_t begin, std::size_t end, void* scratch) {
               in_double ? route_double(job, begin, end, scratch) : route_float(job, begin, end, scratch);
             });
  add_counts(job, options);
}

DISTILL_INLINE void route_backward(const top_k_gate& gate, const char* function, const input_matrix& logits,
                                   const matrix_view<const std::int32_t>& experts,
                                   const input_matrix& weight_gradient, const output_matrix& gradient,
                                   bool selected_only, const gate_backward_options& options) {
  gate_job job = job_of(gate, logits);
  job.weight_gradient = weight_gradient;
  job.gradient = gradient;
  job.selected_only = selected_only;
  job.slopes = options.probability_slopes;
  job.tokens_per_sequence = options.tokens_per_sequence;
  job.z_loss = options.z_loss;
  job.accumulate = options.accumulate;
  job.token_mask = options.token_mask;
  job.random = options.random;
  job.noise_deviation = options.noise_deviation;
  check_backward(function, job, experts);
  if (job.tokens() == 0) return;
  job.replay = true;
  // Only read: the kernels of both directions see the experts through the same member.
  job.experts = {const_cast<std::int32_t*>(experts.data_handle()), experts.rows(), experts.columns(),
                 experts.stride(0), experts.stride(1)};
  const bool in_double = logits.type == element_type::float64 || gradient.type == element_type::float64 ||
                         (weight_gradient.data != nullptr && weight_gradient.type == element_type::float64);
  const element_type compute = in_double ? element_type::float64 : element_type::float32;
  job.across_tokens = passes_across_tokens(job, compute);
  job.scratch = plan_gate_scratch(job, compute);
  const row_blocks blocks(options.executor, job.tokens(), 2 * job.expert_count() * size_of(logits.type));
  workspace own;
  std::byte* const memory =
      (options.workspace != nullptr ? *options.workspace : own).require(blocks.slots * job.scratch.bytes);
  blocks.run(options.executor, memory, job.scratch.bytes,
             [&](std::size_t begin, std::size_t end, void* scratch) {
               in_double ? route_backward_double(job, begin, end, scratch)
                         : route_backward_float(job, begin, end, scratch);
             });
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/gate_backward-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void route_float(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::RouteChunks<float>(job, begin, end, scratch);
}
inline void route_double(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::RouteChunks<double>(job, begin, end, scratch);
}
inline void route_backward_float(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::BackwardTokens<float>(job, begin, end, scratch);
}
inline void route_backward_double(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::BackwardTokens<double>(job, begin, end, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
