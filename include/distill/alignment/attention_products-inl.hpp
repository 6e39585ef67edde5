// Attention losses of what maps are made of: tiles of scores, never a map.
//
// A tile is a few query rows by all keys they see, the keys side by side. The student's tile becomes its own
// gradient dS in place, and is multiplied on: dQ = scale dS K, dK = scale dSᵀ Q.
#pragma once

#include <distill/alignment/attention_heads-inl.hpp>
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

// What a worker has of scratch, and of the heads it is at.
struct product_scratch {
  double* values = nullptr;
  std::byte* tiles = nullptr;
  std::byte* rest = nullptr;
  model_heads student, teacher;
  gradient_heads gradient;
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
                             tile<const void>(nullptr, teacher_type(), frame_.keys), dS);
    job.gradient.data =
        has_gradient_ ? static_cast<void*>(&job) : nullptr;  // only whether there is one matters
    std::size_t most = 0;
    for (const bool accumulate : {false, true}) {
      job.accumulate = accumulate;
      most = std::max(most, score_scratch_bytes(job, rows_.compute(), frame_.keys));
    }
    const product_scratch heads = heads_of();
    return values_bytes() + tile_bytes() + heads.student.bytes() + heads.teacher.bytes() +
           heads.gradient.bytes() + most;
  }

  void run(std::size_t begin, std::size_t end, void* scratch) const {
    product_scratch memory = heads_of();
    auto* at = static_cast<std::byte*>(scratch);
    memory.values = reinterpret_cast<double*>(at);
    memory.tiles = at + values_bytes();
    at = memory.tiles + tile_bytes();
    memory.student.place(at), memory.teacher.place(at), memory.gradient.place(at);
    memory.rest = at;
    for (std::size_t unit = begin; unit < end; ++unit)
      unit_sums_[unit] = heads_sharing_keys(unit / student_.key_heads, unit % student_.key_heads, memory);
  }

 private:
  element_type student_type() const { return product_type(student_.queries.type); }
  element_type teacher_type() const { return product_type(teacher_.queries.type); }
  product_scratch heads_of() const {
    return {.student = model_heads(student_),
            .teacher = model_heads(teacher_),
            .gradient = gradient_heads(student_, gradient_, rows_.accumulate())};
  }
  std::size_t tile_bytes() const {
    return tiles_.bytes(student_type()) * (gradient_in_place_ ? 1 : 2) + tiles_.bytes(teacher_type());
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
  double heads_sharing_keys(std::size_t sample, std::size_t key_head, product_scratch& scratch) const {
    double* const values = scratch.values;
    const vector_view<double> row_values = frame_.options->row_values;
    compensated_sum sum;
    const std::size_t group = student_.query_heads / student_.key_heads;
    const auto zero = [](const output_matrix& part, std::size_t) { set_zero(part); };
    if (has_gradient_) scratch.gradient.begin(sample, key_head, zero);
    const sample_positions queries = frame_.queries_of(sample);
    for (std::size_t head = key_head * group; head < (key_head + 1) * group; ++head) {
      std::fill_n(values, frame_.queries, 0.0);
      if (has_gradient_) scratch.gradient.begin_head(sample, head, zero);
      for (position_run run = queries.next(0, frame_.queries); !run.empty();
           run = queries.next(run.end, frame_.queries))
        for (std::size_t i = run.begin; i < run.end; i += tiles_.rows)
          one_tile(sample, head, {i, std::min(i + tiles_.rows, run.end)}, values + i, scratch);
      if (has_gradient_) scratch.gradient.end_head(frame_, sample, head);
      for (std::size_t i = 0; i < frame_.queries; ++i) sum.add(values[i]);
      for (std::size_t i = 0; i < frame_.queries && !row_values.empty(); ++i)
        row_values[frame_.row(sample, head, i)] = values[i];
    }
    if (has_gradient_) scratch.gradient.end(frame_, sample, key_head);
    return sum.total();
  }

  // Scores of the rows against all keys that the last of them sees.
  void score(const projections& model, model_heads& heads, std::size_t sample, std::size_t head,
             position_run rows, const output_matrix& scores) const {
    const sample_positions keys = frame_.keys_of(sample);
    heads.for_each_pair(
        frame_, sample, head, [&](const input_matrix& q, const input_matrix& k, std::size_t column) {
          keys.for_each_run(frame_.key_end(rows.end - 1), [&](position_run run, std::size_t before) {
            multiply(product_, model.scale, window(q, rows.begin, rows.size(), 0, q.columns),
                     transposed(window(k, run.begin, run.size(), 0, k.columns)), column == 0 ? 0 : 1,
                     window(scores, 0, rows.size(), before, run.size()));
          });
        });
  }

  // dQ and dK of the rows from dS.
  void propagate(product_scratch& scratch, std::size_t sample, std::size_t head, position_run rows,
                 const input_matrix& dS) const {
    const sample_positions keys = frame_.keys_of(sample);
    const std::size_t key_head = head / (student_.query_heads / student_.key_heads);
    scratch.student.for_each_pair(
        frame_, sample, head, [&](const input_matrix& q, const input_matrix& k, std::size_t column) {
          const std::size_t count = q.columns;
          const output_matrix dq = window(scratch.gradient.queries(sample, head, column, count), rows.begin,
                                          rows.size(), 0, count),
                              dk = scratch.gradient.keys(sample, key_head, column, count);
          keys.for_each_run(frame_.key_end(rows.end - 1), [&](position_run run, std::size_t before) {
            const input_matrix slope = window(dS, 0, rows.size(), before, run.size());
            multiply(product_, student_.scale, slope, window(k, run.begin, run.size(), 0, count), 1, dq);
            multiply(product_, student_.scale, transposed(slope),
                     window(q, rows.begin, rows.size(), 0, count), 1,
                     window(dk, run.begin, run.size(), 0, count));
          });
        });
  }

  void one_tile(std::size_t sample, std::size_t head, position_run rows, double* values,
                product_scratch& scratch) const {
    const sample_positions keys = frame_.keys_of(sample);
    std::size_t columns = 0;
    keys.for_each_run(frame_.key_end(rows.end - 1),
                      [&](position_run run, std::size_t before) { columns = before + run.size(); });
    if (columns == 0) return;
    std::byte* const teacher_memory = scratch.tiles + tiles_.bytes(student_type());
    const output_matrix student = tile<void>(scratch.tiles, student_type(), columns);
    const output_matrix teacher = tile<void>(teacher_memory, teacher_type(), columns);
    output_matrix dS = student;
    if (!gradient_in_place_) dS.data = teacher_memory + tiles_.bytes(teacher_type());
    score(student_, scratch.student, sample, head, rows, student);
    const auto part = [&](const auto& m, std::size_t row, std::size_t count, std::size_t seen) {
      return window(m, row, count, 0, seen);
    };
    const auto evaluate = [&](std::size_t row, std::size_t count, std::size_t seen, bool is_scored) {
      row_job job;
      job.student = as_input(part(student, row, count, seen));
      if (has_gradient_) job.gradient = part(dS, row, count, seen);
      rows_.evaluate(job, head, false, values + row, scratch.rest, [&](std::size_t teacher_head) {
        if (!is_scored)
          score(teacher_, scratch.teacher, sample, teacher_head, {rows.begin + row, rows.begin + row + count},
                part(teacher, row, count, seen));
        return as_input(part(teacher, row, count, seen));
      });
    };
    if (!frame_.options->causal) {
      evaluate(0, rows.size(), columns, false);
    } else {
      const bool is_scored = rows_.teachers_of(head) == 1;
      if (is_scored) score(teacher_, scratch.teacher, sample, rows_.teacher_of(head), rows, teacher);
      std::size_t seen = 0, key = 0;
      for (std::size_t row = 0; row < rows.size(); ++row) {
        for (const std::size_t end = frame_.key_end(rows.begin + row); key < end; ++key)
          seen += keys.takes_part(key) ? 1 : 0;
        if (seen > 0) evaluate(row, 1, seen, is_scored);
        if (has_gradient_) set_zero(window(dS, row, 1, seen, columns - seen));
      }
    }
    if (has_gradient_) propagate(scratch, sample, head, rows, as_input(dS));
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
