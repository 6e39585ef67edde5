// Attention losses of what maps are made of: tiles of scores, never a map.
//
// A tile is a few query rows by all keys they see, the keys side by side. The student's tile becomes its own
// gradient dS in place, and is multiplied on: dQ = scale dS K, dK = scale dSᵀ Q.
#pragma once

#include <distill/alignment/attention_rows-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// ---- products

inline void multiply(const matrix_product_ref& product, double alpha, const input_matrix& a,
                     const input_matrix& b, double beta, const output_matrix& c) {
  const auto as = [&]<class T>(T) {
    const auto view = [](const auto& m) {
      using pointer =
          std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(m.data)>>, const T, T>;
      return matrix_view<pointer>(static_cast<pointer*>(m.data), m.rows, m.columns, m.row_stride,
                                  m.column_stride);
    };
    product.multiply(alpha, view(a), view(b), beta, view(c));
  };
  if (c.type == element_type::float64)
    as(double{});
  else
    as(float{});
}

// Calls f(part, first column) for the columns of head h of `heads`, as they lie in the heads of the tensor.
template <class Void, class F>
void for_each_part(const untyped_tensor<Void>& x, std::size_t sample, std::size_t heads, std::size_t h, F f) {
  const std::size_t width = x.extents[3], head_width = x.extents[1] * width / heads;
  for (std::size_t column = 0; column < head_width;) {
    const std::size_t at = h * head_width + column, count = std::min(width - at % width, head_width - column);
    f(window(x.matrix(sample, at / width), 0, x.extents[2], at % width, count), column);
    column += count;
  }
}
// The columns from `column` on of a head, as for_each_part gives them.
template <class Void>
untyped_matrix<Void> part_at(const untyped_tensor<Void>& x, std::size_t sample, std::size_t heads,
                             std::size_t h, std::size_t column, std::size_t count) {
  const std::size_t width = x.extents[3], at = h * (x.extents[1] * width / heads) + column;
  return window(x.matrix(sample, at / width), 0, x.extents[2], at % width, count);
}

// ---- tiles

struct score_tiles {
  std::size_t rows, pitch;

  // 512 KiB of float scores, 8 to 128 rows.
  explicit score_tiles(std::size_t keys) {
    constexpr std::size_t scores = std::size_t{1} << 17, lanes = 16;
    rows = std::clamp<std::size_t>(scores / keys / 8 * 8, 8, rows_of_several_teachers);
    pitch =
        (keys + lanes - 1) / lanes * lanes + lanes;  // not a power of 2, whose rows would evict each other
  }
  std::size_t bytes(element_type type) const { return round_up_to_line(rows * pitch * size_of(type)); }
};

class attention_product_walk {
 public:
  attention_product_walk(const score_rows& rows, const attention_frame& frame, const projections& student,
                         const projections& teacher, const projection_gradients& gradient, double* unit_sums)
      : rows_(rows),
        frame_(frame),
        student_(student),
        teacher_(teacher),
        gradient_(gradient),
        unit_sums_(unit_sums),
        product_(*frame.options->product),
        tiles_(frame.keys),
        has_gradient_(gradient.queries.data != nullptr) {
    gradient_in_place_ = !rows.has_several_teachers();
  }

  // What is handed out: the heads that share keys, because they add to the same gradient.
  std::size_t units() const { return frame_.batch * student_.key_heads; }
  std::size_t scratch_bytes() const {
    const output_matrix dS =
        has_gradient_ ? tile<void>(nullptr, student_type(), frame_.keys) : output_matrix();
    row_job job = rows_.like(tile<const void>(nullptr, student_type(), frame_.keys),
                             tile<const void>(nullptr, teacher_.queries.type, frame_.keys), dS);
    job.gradient.data =
        has_gradient_ ? static_cast<void*>(&job) : nullptr;  // only whether there is one matters
    std::size_t most = 0;
    for (const bool accumulate : {false, true}) {
      job.accumulate = accumulate;
      most = std::max(most, score_scratch_bytes(job, rows_.compute(), frame_.keys));
    }
    return values_bytes() + tile_bytes() + most;
  }

  void run(std::size_t begin, std::size_t end, void* scratch) const {
    for (std::size_t unit = begin; unit < end; ++unit)
      unit_sums_[unit] = heads_sharing_keys(unit / student_.key_heads, unit % student_.key_heads,
                                            static_cast<std::byte*>(scratch));
  }

 private:
  element_type student_type() const { return student_.queries.type; }
  std::size_t tile_bytes() const {
    return tiles_.bytes(student_type()) * (gradient_in_place_ ? 1 : 2) + tiles_.bytes(teacher_.queries.type);
  }
  std::size_t values_bytes() const { return round_up_to_line(frame_.queries * sizeof(double)); }
  template <class Void>
  untyped_matrix<Void> tile(std::byte* memory, element_type type, std::size_t columns) const {
    untyped_matrix<Void> m;
    m.data = memory, m.rows = tiles_.rows, m.columns = columns, m.type = type;
    m.row_stride = static_cast<std::ptrdiff_t>(tiles_.pitch), m.column_stride = 1;
    return m;
  }

  // The sum of the values of their rows.
  double heads_sharing_keys(std::size_t sample, std::size_t key_head, std::byte* scratch) const {
    auto* const values = reinterpret_cast<double*>(scratch);
    const vector_view<double> row_values = frame_.options->row_values;
    compensated_sum sum;
    const std::size_t group = student_.query_heads / student_.key_heads;
    const auto zero = [](const output_matrix& part, std::size_t) { set_zero(part); };
    if (has_gradient_ && !rows_.accumulate()) {
      for_each_part(gradient_.keys, sample, student_.key_heads, key_head, zero);
      for (std::size_t head = key_head * group; head < (key_head + 1) * group; ++head)
        for_each_part(gradient_.queries, sample, student_.query_heads, head, zero);
    }
    const sample_positions queries = frame_.queries_of(sample);
    for (std::size_t head = key_head * group; head < (key_head + 1) * group; ++head) {
      std::fill_n(values, frame_.queries, 0.0);
      for (position_run run = queries.next(0, frame_.queries); !run.empty();
           run = queries.next(run.end, frame_.queries))
        for (std::size_t i = run.begin; i < run.end; i += tiles_.rows)
          one_tile(sample, head, {i, std::min(i + tiles_.rows, run.end)}, values + i,
                   scratch + values_bytes());
      for (std::size_t i = 0; i < frame_.queries; ++i) sum.add(values[i]);
      for (std::size_t i = 0; i < frame_.queries && !row_values.empty(); ++i)
        row_values[frame_.row(sample, head, i)] = values[i];
    }
    return sum.total();
  }

  // Scores of the rows against all keys that the last of them sees.
  void score(const projections& model, std::size_t sample, std::size_t head, position_run rows,
             const output_matrix& scores) const {
    const sample_positions keys = frame_.keys_of(sample);
    const std::size_t key_head = head / (model.query_heads / model.key_heads);
    for_each_part(
        model.queries, sample, model.query_heads, head, [&](const input_matrix& q, std::size_t column) {
          const input_matrix k = part_at(model.keys, sample, model.key_heads, key_head, column, q.columns);
          keys.for_each_run(frame_.key_end(rows.end - 1), [&](position_run run, std::size_t before) {
            multiply(product_, model.scale, window(q, rows.begin, rows.size(), 0, q.columns),
                     transposed(window(k, run.begin, run.size(), 0, k.columns)), column == 0 ? 0 : 1,
                     window(scores, 0, rows.size(), before, run.size()));
          });
        });
  }

  // dQ and dK of the rows from dS.
  void propagate(std::size_t sample, std::size_t head, position_run rows, const input_matrix& dS) const {
    const sample_positions keys = frame_.keys_of(sample);
    const std::size_t key_head = head / (student_.query_heads / student_.key_heads);
    const auto part = [&](const auto& x, std::size_t heads, std::size_t h, std::size_t column,
                          std::size_t count, position_run positions) {
      return window(part_at(x, sample, heads, h, column, count), positions.begin, positions.size(), 0, count);
    };
    for_each_part(
        student_.queries, sample, student_.query_heads, head, [&](const input_matrix& q, std::size_t column) {
          const std::size_t count = q.columns;
          const output_matrix dq = part(gradient_.queries, student_.query_heads, head, column, count, rows);
          keys.for_each_run(frame_.key_end(rows.end - 1), [&](position_run run, std::size_t before) {
            const input_matrix slope = window(dS, 0, rows.size(), before, run.size());
            multiply(product_, student_.scale, slope,
                     part(student_.keys, student_.key_heads, key_head, column, count, run), 1, dq);
            multiply(product_, student_.scale, transposed(slope),
                     window(q, rows.begin, rows.size(), 0, count), 1,
                     part(gradient_.keys, student_.key_heads, key_head, column, count, run));
          });
        });
  }

  void one_tile(std::size_t sample, std::size_t head, position_run rows, double* values,
                std::byte* scratch) const {
    const sample_positions keys = frame_.keys_of(sample);
    std::size_t columns = 0;
    keys.for_each_run(frame_.key_end(rows.end - 1),
                      [&](position_run run, std::size_t before) { columns = before + run.size(); });
    if (columns == 0) return;
    std::byte* const teacher_memory = scratch + tiles_.bytes(student_type());
    const output_matrix student = tile<void>(scratch, student_type(), columns);
    const output_matrix teacher = tile<void>(teacher_memory, teacher_.queries.type, columns);
    output_matrix dS = student;
    if (!gradient_in_place_) dS.data = teacher_memory + tiles_.bytes(teacher_.queries.type);
    score(student_, sample, head, rows, student);
    std::byte* const rest = scratch + tile_bytes();
    const auto part = [&](const auto& m, std::size_t row, std::size_t count, std::size_t seen) {
      return window(m, row, count, 0, seen);
    };
    const auto evaluate = [&](std::size_t row, std::size_t count, std::size_t seen, bool is_scored) {
      row_job job;
      job.student = as_input(part(student, row, count, seen));
      if (has_gradient_) job.gradient = part(dS, row, count, seen);
      rows_.evaluate(job, head, false, values + row, rest, [&](std::size_t teacher_head) {
        if (!is_scored)
          score(teacher_, sample, teacher_head, {rows.begin + row, rows.begin + row + count},
                part(teacher, row, count, seen));
        return as_input(part(teacher, row, count, seen));
      });
    };
    if (!frame_.options->causal) {
      evaluate(0, rows.size(), columns, false);
    } else {
      const bool is_scored = rows_.teachers_of(head) == 1;
      if (is_scored) score(teacher_, sample, rows_.teacher_of(head), rows, teacher);
      std::size_t seen = 0, key = 0;
      for (std::size_t row = 0; row < rows.size(); ++row) {
        for (const std::size_t end = frame_.key_end(rows.begin + row); key < end; ++key)
          seen += keys.takes_part(key) ? 1 : 0;
        if (seen > 0) evaluate(row, 1, seen, is_scored);
        if (has_gradient_) set_zero(window(dS, row, 1, seen, columns - seen));
      }
    }
    if (has_gradient_) propagate(sample, head, rows, as_input(dS));
  }

  const score_rows& rows_;
  const attention_frame& frame_;
  const projections& student_;
  const projections& teacher_;
  const projection_gradients& gradient_;
  double* unit_sums_;
  matrix_product_ref product_;
  score_tiles tiles_;
  bool has_gradient_, gradient_in_place_;
};

}  // namespace distill::inline DISTILL_ABI::detail
