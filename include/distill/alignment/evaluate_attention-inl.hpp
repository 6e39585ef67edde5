// Definitions of evaluate_attention.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/alignment/attention_maps-inl.hpp>
#include <distill/alignment/attention_product_check-inl.hpp>
#include <distill/alignment/attention_products-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

DISTILL_INLINE double evaluate_attention_maps(const attention_loss& loss, const input_tensor& student,
                                              const input_tensor& teacher, const output_tensor& gradient,
                                              const attention_options& options) {
  const attention_frame frame{student.extents[0], student.extents[1], student.extents[2], student.extents[3],
                              &options};
  check_attention_maps(loss, student, teacher, gradient, frame);
  const bool in_double = student.type == element_type::float64 || teacher.type == element_type::float64;
  const score_rows rows(loss, frame, teacher.extents[1],
                        in_double ? element_type::float64 : element_type::float32, frame.denominator());
  const row_blocks blocks(options.executor, frame.rows(),
                          frame.keys * (size_of(student.type) + size_of(teacher.type)));
  const std::size_t kept = round_up_to_line(frame.rows() * sizeof(double));
  const std::size_t slot_bytes =
      attention_map_walk(rows, frame, student, teacher, gradient, nullptr).scratch_bytes();
  workspace own;
  std::byte* const memory =
      (options.workspace != nullptr ? *options.workspace : own).require(kept + blocks.slots * slot_bytes);
  double* const values = reinterpret_cast<double*>(memory);
  const attention_map_walk walk(rows, frame, student, teacher, gradient, values);
  blocks.run(options.executor, memory + kept, slot_bytes,
             [&](std::size_t begin, std::size_t end, void* scratch) { walk.run(begin, end, scratch); });
  for (std::size_t row = 0; row < options.row_values.size(); ++row) options.row_values[row] = values[row];
  return reduced_sum(values, frame.rows(), rows.factor());
}

DISTILL_INLINE double evaluate_attention_products(const attention_loss& loss, const projections& student,
                                                  const projections& teacher,
                                                  const projection_gradients& gradient,
                                                  const attention_options& options) {
  const attention_frame frame{student.queries.extents[0], student.query_heads, student.queries.extents[2],
                              student.keys.extents[2], &options};
  check_attention_products(loss, student, teacher, gradient, frame);
  const bool in_double =
      student.queries.type == element_type::float64 || teacher.queries.type == element_type::float64;
  const score_rows rows(loss, frame, teacher.query_heads,
                        in_double ? element_type::float64 : element_type::float32, frame.denominator());
  const attention_product_walk plan(rows, frame, student, teacher, gradient, nullptr);
  constexpr std::size_t much = std::size_t{1} << 20;  // a unit is work enough to be handed out by itself
  const row_blocks blocks(options.executor, plan.units(), much);
  const std::size_t kept = round_up_to_line(plan.units() * sizeof(double)), slot_bytes = plan.scratch_bytes();
  workspace own;
  std::byte* const memory =
      (options.workspace != nullptr ? *options.workspace : own).require(kept + blocks.slots * slot_bytes);
  double* const sums = reinterpret_cast<double*>(memory);
  const attention_product_walk walk(rows, frame, student, teacher, gradient, sums);
  blocks.run(options.executor, memory + kept, slot_bytes,
             [&](std::size_t begin, std::size_t end, void* scratch) { walk.run(begin, end, scratch); });
  return reduced_sum(sums, plan.units(), rows.factor());
}

}  // namespace distill::inline DISTILL_ABI::detail
