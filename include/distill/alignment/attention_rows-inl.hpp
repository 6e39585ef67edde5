// Rows of scores on their way to the row kernels of the losses.
#pragma once

#include <cstring>
#include <distill/alignment/attention_frame-inl.hpp>
#include <distill/loss/evaluate-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// Teacher heads one after the other need the values of the rows beside those that are added up.
inline constexpr std::size_t rows_of_several_teachers = 128;

// The fewest keys a row must have for writing past the caches to pay.
inline constexpr std::size_t fewest_bypassing_keys = 256;

// Plans and evaluates all rows of the job; what comes out not finite in float is evaluated again in double.
inline void evaluate_score_rows(row_job& job, element_type compute, void* scratch) {
  const auto plan = [&](element_type type, bool across) {
    job.across_rows = across;
    // Rows of a large gradient are finished one by one, past the caches; batches of short rows write through
    // them.
    job.short_rows =
        !(job.bypass_cache && job.classes() >= fewest_bypassing_keys) && has_short_rows(job, type);
    job.scratch = plan_scratch(job, type);
  };
  plan(compute, walks_across_rows(job));
  if (compute == element_type::float64) return evaluate_rows_double(job, 0, job.rows(), scratch);
  evaluate_rows_float(job, 0, job.rows(), scratch);
  if (!any_unresolved(job)) return;
  job.only_unresolved = true;
  plan(element_type::float64, false);
  evaluate_rows_double(job, 0, job.rows(), scratch);
}

// The most scratch that evaluate_score_rows takes for jobs like this one with up to `classes` classes.
inline std::size_t score_scratch_bytes(row_job job, element_type compute, std::size_t classes) {
  std::size_t most = 0;
  // How rows are walked changes at multiples of 32 classes; between them scratch grows with the classes.
  for (std::size_t limit = 32; limit < classes + 32; limit += 32)
    for (const element_type type : {compute, element_type::float64})
      for (const bool again : {false, true}) {
        job.student.columns = job.teacher.columns = job.gradient.columns = std::min(limit, classes);
        job.across_rows = !again && walks_across_rows(job);
        job.short_rows = has_short_rows(job, type);
        const scratch_rows plan = plan_scratch(job, type);
        most = std::max(most, static_cast<std::size_t>(plan.count) * plan.pitch * size_of(type));
      }
  return round_up_to_line(most);
}

// What all rows of a call have in common.
class score_rows {
 public:
  score_rows(const attention_loss& loss, const attention_frame& frame, std::size_t teacher_heads,
             element_type compute, double denominator)
      : heads_(*loss.heads),
        student_heads_(frame.heads),
        teacher_heads_(teacher_heads),
        compute_(compute),
        factor_(denominator > 0 ? 1 / denominator : 0),
        accumulate_(frame.options->accumulate),
        term_(loss.of_row) {}

  element_type compute() const { return compute_; }
  double factor() const { return factor_; }
  bool accumulate() const { return accumulate_; }
  std::size_t teachers_of(std::size_t head) const {
    return heads_.count(head, student_heads_, teacher_heads_);
  }
  std::size_t teacher_of(std::size_t head) const {
    return heads_.teacher_head(head, 0, student_heads_, teacher_heads_);
  }
  bool has_several_teachers() const {
    for (std::size_t head = 0; head < student_heads_; ++head)
      if (teachers_of(head) > 1) return true;
    return false;
  }
  // A job as far as scratch depends on it.
  row_job like(const input_matrix& student, const input_matrix& teacher,
               const output_matrix& gradient) const {
    row_job job;
    job.terms = &term_;
    job.term_count = 1;
    job.student = student, job.teacher = teacher, job.gradient = gradient;
    return job;
  }

  // Evaluates the rows of a job against each teacher head of a student head: sets job.teacher with
  // find(teacher head), writes the mean of the values to `values` and the gradient to job.gradient.
  template <class F>
  void evaluate(row_job job, std::size_t head, bool accumulate, double* values, void* scratch, F find) const {
    const std::size_t teachers = teachers_of(head), count = job.rows();
    const double weight = 1 / static_cast<double>(teachers), factor = factor_ * weight;
    double one_teacher[rows_of_several_teachers];
    job.terms = &term_;
    job.term_count = 1;
    job.factors = &factor;
    job.losses = teachers == 1 ? values : one_teacher;
    for (std::size_t i = 0; i < teachers; ++i) {
      job.teacher = find(heads_.teacher_head(head, i, student_heads_, teacher_heads_));
      job.accumulate = accumulate || i > 0;
      job.only_unresolved = false;
      evaluate_score_rows(job, compute_, scratch);
      if (teachers == 1) return;
      for (std::size_t r = 0; r < count; ++r) values[r] = (i == 0 ? 0 : values[r]) + weight * one_teacher[r];
    }
  }

 private:
  const head_map& heads_;
  std::size_t student_heads_, teacher_heads_;
  element_type compute_;
  double factor_;
  bool accumulate_;
  loss_term term_;
};

inline void set_zero(const output_matrix& m) {
  const std::size_t bytes = size_of(m.type);  // 0 is all bits 0 in every element type
  for (std::size_t r = 0; r < m.rows; ++r) {
    auto* row = static_cast<std::byte*>(m.data) +
                static_cast<std::ptrdiff_t>(r) * m.row_stride * static_cast<std::ptrdiff_t>(bytes);
    if (m.column_stride == 1) {
      std::memset(row, 0, m.columns * bytes);
      continue;
    }
    for (std::size_t c = 0; c < m.columns; ++c)
      std::memset(row + static_cast<std::ptrdiff_t>(c) * m.column_stride * static_cast<std::ptrdiff_t>(bytes),
                  0, bytes);
  }
}

// Copies between a run of a strided row and compact memory of the same element type.
inline void copy_elements(std::size_t bytes, const void* from, std::ptrdiff_t from_stride, void* to,
                          std::ptrdiff_t to_stride, std::size_t count) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, count * bytes);
    return;
  }
  const auto step = static_cast<std::ptrdiff_t>(bytes);
  for (std::size_t i = 0; i < count; ++i)
    std::memcpy(static_cast<std::byte*>(to) + static_cast<std::ptrdiff_t>(i) * to_stride * step,
                static_cast<const std::byte*>(from) + static_cast<std::ptrdiff_t>(i) * from_stride * step,
                bytes);
}

inline double reduced_sum(const double* values, std::size_t count, double factor) {
  compensated_sum sum;
  for (std::size_t i = 0; i < count; ++i) sum.add(values[i]);
  return sum.total() == 0 ? 0 : factor * sum.total();
}

}  // namespace distill::inline DISTILL_ABI::detail
