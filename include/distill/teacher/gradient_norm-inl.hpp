// Definition of gradient_norm.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <algorithm>
#include <distill/numeric/compensated_sum-inl.hpp>
#include <distill/teacher/gradient_norm.hpp>
#include <distill/teacher/row_statistics-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

DISTILL_INLINE double evaluate_gradient_norm(const input_matrix& gradient,
                                             const gradient_norm_options& options) {
  require_input("gradient_norm", "gradient", gradient);
  row_statistics_job job;
  job.logits = gradient;
  const row_plan plan = plan_row_statistics(job, options.executor);
  workspace own;
  const kept_and_scratch space(options.workspace != nullptr ? *options.workspace : own,
                               round_up_to_line(job.rows() * sizeof(double)), plan.bytes());
  job.length = {reinterpret_cast<double*>(space.kept), job.rows()};
  run_row_statistics(job, plan, options.executor, space.scratch);
  double longest = 0;
  for (std::size_t row = 0; row < job.rows(); ++row) {
    if (!std::isfinite(job.length[row])) return job.length[row];
    longest = std::max(longest, job.length[row]);
  }
  if (longest == 0) return 0;
  const double square = compensated_total(job.rows(), [&](std::size_t row) {
    const double share = job.length[row] / longest;
    return share * share;
  });
  return longest * std::sqrt(square);
}

}  // namespace distill::inline DISTILL_ABI::detail
