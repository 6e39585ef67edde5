#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/moe/routing.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

struct map_expert_options {
  /// Divides the teacher's logits before their probabilities are added: finite, > 0.
  double temperature = 1;
  executor_ref executor = {};
};

namespace detail {
void map_expert_logits(const input_matrix& teacher, vector_view<const std::int32_t> map,
                       const output_matrix& output, const map_expert_options& options);
}  // namespace detail

/// A teacher's router as a target for a student with other experts: log of the probability that each student
/// expert takes over.
///
/// output_j = log Σ_{i: map_i = j} p_i - log Σ_{i: map_i ≠ -1} p_i, p = softmax(teacher / temperature): a
/// distribution in log space, to be passed to any loss as teacher logits. Shapes: teacher [tokens, teacher
/// experts], map [teacher experts] of student experts or -1 (nobody takes this one over; the rest is
/// renormalised), output [tokens, student experts]; any strides. The output's elements are the teacher's
/// type, or float for 16 bits. The loss then needs `teacher_temperature = 1`; its T² factor is the student's
/// T alone. Throws: shape_error, parameter_error, layout_error, data_error for an expert outside the
/// student's, before anything is written. Special values: a student expert that nobody maps to gets -inf; a
/// row with NaN or +inf, or without any probability left, becomes NaN. Accuracy: in double, rounded once.
/// Cost: two exponentials per teacher logit; allocates O(experts).
template <class Teacher, class Output>
void map_expert_logits(Teacher&& teacher, vector_view<const std::int32_t> map, Output&& output,
                       const map_expert_options& options = {}) {
  detail::map_expert_logits(as_view(std::forward<Teacher>(teacher)), map,
                            detail::written_to(std::forward<Output>(output)), options);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/map_expert_logits-inl.hpp>
#endif
