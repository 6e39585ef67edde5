// Definitions of evaluate_attention.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/alignment/attention_maps-inl.hpp>

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
  return finish_attention(frame, values, rows.factor());
}

}  // namespace distill::inline DISTILL_ABI::detail
