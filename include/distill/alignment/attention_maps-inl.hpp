// Attention losses of maps: the walk over query rows.
#pragma once

#include <distill/alignment/attention_rows-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline constexpr std::array<const char*, 4> map_units = {"samples", "heads", "queries", "keys"};

// ---- checks

inline void check_attention_map_gradient(const char* name, const head_map& heads, const input_tensor& student,
                                         const input_tensor& teacher, const output_tensor& gradient,
                                         const attention_options& options) {
  require_extents(name, of_gradient, gradient.extents, of_student, student.extents, map_units);
  require_memory_of(name, of_gradient, gradient);
  const bool widened = size_of(student.type) == 2 && gradient.type == element_type::float32;
  if (gradient.type != student.type && !widened)
    throw layout_error(std::string(name) + ": gradient is " + name_of(gradient.type) + ", student is " +
                       name_of(student.type) + "; it must be the same" +
                       (size_of(student.type) == 2 ? ", or float32" : ""));
  require_apart(name, of_teacher, teacher, of_gradient, gradient);
  check_beside_gradient(name, options, of_gradient, gradient);
  if (!same_elements(student, gradient))
    return require_apart(name, of_student, student, of_gradient, gradient);
  for (std::size_t head = 0; head < student.extents[1]; ++head)
    if (heads.count(head, student.extents[1], teacher.extents[1]) > 1)
      throw layout_error(std::string(name) + ": gradient is in place, and student head " +
                         std::to_string(head) + " has several teacher heads that read the student");
}

inline void check_attention_maps(const attention_loss& loss, const input_tensor& student,
                                 const input_tensor& teacher, const output_tensor& gradient,
                                 const attention_frame& frame) {
  require_positive(loss.name(), of_student, student.extents, map_units);
  require_memory_of(loss.name(), of_student, student);
  if (teacher.extents[1] == 0) throw shape_error(std::string(loss.name()) + ": teacher has 0 heads");
  std::array<const char*, 4> all_but_heads = map_units;
  all_but_heads[1] = nullptr;
  require_extents(loss.name(), of_teacher, teacher.extents, of_student, student.extents, all_but_heads);
  require_memory_of(loss.name(), of_teacher, teacher);
  loss.heads->require(loss.name(), student.extents[1], teacher.extents[1]);
  check_attention_options(loss.name(), frame);
  if (!gradient.is_absent())
    check_attention_map_gradient(loss.name(), *loss.heads, student, teacher, gradient, *frame.options);
}

// ---- the walk

class attention_map_walk {
 public:
  attention_map_walk(const score_rows& rows, const attention_frame& frame, const input_tensor& student,
                     const input_tensor& teacher, const output_tensor& gradient, double* values)
      : rows_(rows),
        frame_(frame),
        student_(student),
        teacher_(teacher),
        gradient_(gradient),
        values_(values),
        bypass_cache_(gradient.data != nullptr &&
                      frame.rows() * frame.keys * size_of(gradient.type) > cache_worth_keeping),
        most_rows_(rows.has_several_teachers() ? rows_of_several_teachers : frame.queries) {}

  // Bytes of scratch: three rows where keys are gathered, and the row kernels'.
  std::size_t scratch_bytes() const {
    const output_matrix gradient = gradient_.data == nullptr ? output_matrix() : gradient_.matrix(0, 0);
    row_job strided = rows_.like(student_.matrix(0, 0), teacher_.matrix(0, 0), gradient);
    row_job gathered = strided;
    gathered.student.column_stride = gathered.teacher.column_stride = gathered.gradient.column_stride = 1;
    std::size_t most = 0;
    for (const row_job& job : {strided, gathered})
      for (const bool accumulate : {false, true}) {
        row_job how = job;
        how.accumulate = accumulate;
        most = std::max(most, score_scratch_bytes(how, rows_.compute(), frame_.keys));
      }
    return most + gathered_rows * gathered_bytes();
  }

  // Rows [begin, end) of batch * heads * queries.
  void run(std::size_t begin, std::size_t end, void* scratch) const {
    while (begin < end) {
      const std::size_t map = begin / frame_.queries, first = begin % frame_.queries;
      const std::size_t last = std::min(frame_.queries, first + (end - begin));
      part_of_map(map / frame_.heads, map % frame_.heads, first, last, static_cast<std::byte*>(scratch));
      begin += last - first;
    }
  }

 private:
  static constexpr std::size_t gathered_rows = 3;
  std::size_t gathered_bytes() const { return round_up_to_line(frame_.keys * sizeof(double)); }

  void part_of_map(std::size_t sample, std::size_t head, std::size_t first, std::size_t last,
                   std::byte* scratch) const {
    const sample_positions queries = frame_.queries_of(sample), keys = frame_.keys_of(sample);
    const position_run visible = keys.next(0, frame_.keys);
    const bool has_gaps = !visible.empty() && !keys.next(visible.end, frame_.keys).empty();
    std::size_t row = first;
    for (position_run run = queries.next(first, last); !run.empty(); run = queries.next(run.end, last)) {
      skip(sample, head, row, run.begin);
      row = run.end;
      const std::size_t step = frame_.options->causal || has_gaps ? 1 : most_rows_;
      for (std::size_t i = run.begin; i < run.end; i += step) {
        const position_run rows{i, std::min(i + step, run.end)};
        const position_run seen{visible.begin,
                                std::min(visible.end, std::max(visible.begin, frame_.key_end(i)))};
        if (seen.empty())
          skip(sample, head, rows.begin, rows.end);
        else if (has_gaps && visible.end < frame_.key_end(i))
          gathered_row(sample, head, i, keys, scratch);
        else
          window_of_rows(sample, head, rows, seen, scratch);
      }
    }
    skip(sample, head, row, last);
  }

  double* values_of(std::size_t sample, std::size_t head, std::size_t query) const {
    return values_ + frame_.row(sample, head, query);
  }

  // Rows that do not count.
  void skip(std::size_t sample, std::size_t head, std::size_t begin, std::size_t end) const {
    if (begin >= end) return;
    std::fill_n(values_of(sample, head, begin), end - begin, 0.0);
    zero(sample, head, {begin, end}, {0, frame_.keys});
  }
  void zero(std::size_t sample, std::size_t head, position_run rows, position_run keys) const {
    if (gradient_.data == nullptr || rows_.accumulate() || keys.begin >= keys.end) return;
    set_zero(window(gradient_.matrix(sample, head), rows.begin, rows.size(), keys.begin, keys.size()));
  }

  // Rows that see the same consecutive keys.
  void window_of_rows(std::size_t sample, std::size_t head, position_run rows, position_run keys,
                      std::byte* scratch) const {
    const auto part = [&](const auto& m) {
      return window(m, rows.begin, rows.size(), keys.begin, keys.size());
    };
    row_job job;
    job.student = part(student_.matrix(sample, head));
    if (gradient_.data != nullptr) job.gradient = part(gradient_.matrix(sample, head));
    job.bypass_cache = bypass_cache_;
    rows_.evaluate(job, head, rows_.accumulate(), values_of(sample, head, rows.begin),
                   scratch + gathered_rows * gathered_bytes(),
                   [&](std::size_t teacher_head) { return part(teacher_.matrix(sample, teacher_head)); });
    zero(sample, head, rows, {0, keys.begin});
    zero(sample, head, rows, {keys.end, frame_.keys});
  }

  // One row whose keys are not consecutive: they are brought together in scratch.
  void gathered_row(std::size_t sample, std::size_t head, std::size_t query, const sample_positions& keys,
                    std::byte* scratch) const {
    const std::size_t end = frame_.key_end(query);
    std::size_t count = 0;
    const auto gather = [&](const input_matrix& row, std::byte* to) {
      count = 0;
      const std::size_t bytes = size_of(row.type);
      keys.for_each_run(end, [&](position_run run, std::size_t before) {
        const input_matrix part = window(row, 0, 1, run.begin, run.size());
        copy_elements(bytes, part.data, part.column_stride, to + before * bytes, 1, run.size());
        count = before + run.size();
      });
    };
    const auto compact = [&](auto& m, element_type type, auto* data) {
      m.data = data, m.rows = 1, m.columns = count, m.row_stride = static_cast<std::ptrdiff_t>(count);
      m.column_stride = 1, m.type = type;
    };
    std::byte* const teacher = scratch + gathered_bytes();
    std::byte* const gradient = teacher + gathered_bytes();
    row_job job;
    gather(window(student_.matrix(sample, head), query, 1, 0, frame_.keys), scratch);
    compact(job.student, student_.type, scratch);
    output_matrix gradient_row;
    if (gradient_.data != nullptr) {
      gradient_row = window(gradient_.matrix(sample, head), query, 1, 0, frame_.keys);
      if (rows_.accumulate()) gather(as_input(gradient_row), gradient);
      compact(job.gradient, gradient_.type, gradient);
    }
    rows_.evaluate(job, head, rows_.accumulate(), values_of(sample, head, query), gradient + gathered_bytes(),
                   [&](std::size_t teacher_head) {
                     gather(window(teacher_.matrix(sample, teacher_head), query, 1, 0, frame_.keys), teacher);
                     input_matrix row;
                     compact(row, teacher_.type, teacher);
                     return row;
                   });
    if (gradient_.data == nullptr) return;
    zero(sample, head, {query, query + 1}, {0, frame_.keys});
    keys.for_each_run(end, [&](position_run run, std::size_t before) {
      const output_matrix part = window(gradient_row, 0, 1, run.begin, run.size());
      const std::size_t bytes = size_of(part.type);
      copy_elements(bytes, gradient + before * bytes, 1, part.data, part.column_stride, run.size());
    });
  }

  const score_rows& rows_;
  const attention_frame& frame_;
  const input_tensor& student_;
  const input_tensor& teacher_;
  const output_tensor& gradient_;
  double* values_;
  bool bypass_cache_;
  std::size_t most_rows_;
};

}  // namespace distill::inline DISTILL_ABI::detail
