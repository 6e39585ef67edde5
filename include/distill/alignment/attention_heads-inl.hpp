// Queries and keys of one head at a time, as products take them: where they lie, or converted from 16 bits.
#pragma once

#include <distill/alignment/attention_frame-inl.hpp>
#include <distill/alignment/batch_rows-inl.hpp>
#include <distill/execution/workspace.hpp>

namespace distill::inline DISTILL_ABI::detail {

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

inline bool is_16_bit(element_type type) { return size_of(type) == 2; }
// Of the scores, and of what is multiplied.
inline element_type product_type(element_type type) { return is_16_bit(type) ? element_type::float32 : type; }

template <class Void>
bool is_same_tensor(const untyped_tensor<Void>& a, const untyped_tensor<Void>& b) {
  return a.data == b.data && a.extents == b.extents && a.strides == b.strides;
}

// A head of a tensor in float, part after part, each compact.
class float_head {
 public:
  float_head() = default;
  float_head(const std::array<std::size_t, 4>& extents, std::size_t heads)
      : rows_(extents[2]), width_(extents[1] * extents[3] / heads) {}

  std::size_t bytes() const { return round_up_to_line(rows_ * width_ * sizeof(float)); }
  void place(std::byte*& memory) {
    data_ = reinterpret_cast<float*>(memory);
    memory += bytes();
  }
  output_matrix part(std::size_t column, std::size_t count) const {
    output_matrix m;
    m.data = data_ + rows_ * column;
    m.rows = rows_, m.columns = count, m.row_stride = static_cast<std::ptrdiff_t>(count);
    return m;
  }
  void clear() const { std::fill_n(data_, rows_ * width_, 0.0f); }

  // Positions that take no part are not read.
  void read(const input_matrix& from, std::size_t column, const sample_positions& positions) const {
    batch_job job = job_of(batch_step::gather, column, from.columns);
    job.source = from;
    positions.for_each_run(rows_,
                           [&](position_run run, std::size_t) { batch_rows(job, run.begin, run.end); });
  }
  // Positions that take no part become 0, or stay as they are where the rest is added to.
  void write(const output_matrix& to, std::size_t column, const sample_positions& positions,
             bool accumulate) const {
    batch_job job = job_of(batch_step::scatter, column, to.columns);
    job.gradient = to;
    job.accumulate = accumulate;
    if (!accumulate) return batch_rows(job, 0, rows_);
    positions.for_each_run(rows_,
                           [&](position_run run, std::size_t) { batch_rows(job, run.begin, run.end); });
  }

 private:
  batch_job job_of(batch_step step, std::size_t column, std::size_t count) const {
    batch_job job;
    job.step = step;
    job.count = rows_;
    job.columns = count;
    job.a = data_ + rows_ * column;
    return job;
  }

  float* data_ = nullptr;
  std::size_t rows_ = 0, width_ = 0;
};

// The heads of a model that a worker needs at a time. Queries that are the keys too are converted once.
class model_heads {
 public:
  explicit model_heads(const projections& model)
      : model_(&model), is_converted_(is_16_bit(model.queries.type)) {
    if (!is_converted_) return;
    queries_ = float_head(model.queries.extents, model.query_heads);
    if (!is_self()) keys_ = float_head(model.keys.extents, model.key_heads);
  }

  std::size_t bytes() const { return queries_.bytes() + keys_.bytes(); }
  void place(std::byte*& memory) { queries_.place(memory), keys_.place(memory); }

  // Calls f(queries, keys, first column) for the parts of a head; what was converted last is kept.
  template <class F>
  void for_each_pair(const attention_frame& frame, std::size_t sample, std::size_t head, F f) {
    const projections& m = *model_;
    const std::size_t key_head = head / (m.query_heads / m.key_heads);
    if (is_converted_) convert(frame, sample, head, key_head);
    for_each_part(m.queries, sample, m.query_heads, head, [&](const input_matrix& q, std::size_t column) {
      if (!is_converted_)
        return f(q, part_at(m.keys, sample, m.key_heads, key_head, column, q.columns), column);
      f(as_input(queries_.part(column, q.columns)),
        as_input((is_self() ? queries_ : keys_).part(column, q.columns)), column);
    });
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  bool is_self() const { return is_same_tensor(model_->queries, model_->keys); }
  void convert(const attention_frame& frame, std::size_t sample, std::size_t head, std::size_t key_head) {
    const projections& m = *model_;
    const bool has_queries = sample == sample_ && head == query_head_,
               has_keys = is_self() || (sample == sample_ && key_head == key_head_);
    sample_ = sample, query_head_ = head, key_head_ = key_head;
    for_each_part(m.queries, sample, m.query_heads, head, [&](const input_matrix& q, std::size_t column) {
      if (!has_queries) queries_.read(q, column, frame.queries_of(sample));
      if (!has_queries && is_self()) queries_.read(q, column, frame.keys_of(sample));
      if (!has_keys)
        keys_.read(part_at(m.keys, sample, m.key_heads, key_head, column, q.columns), column,
                   frame.keys_of(sample));
    });
  }

  const projections* model_;
  bool is_converted_;
  float_head queries_, keys_;
  std::size_t sample_ = none, query_head_ = none, key_head_ = none;
};

// The gradient of the heads that share keys: where it belongs, or collected in float and rounded once.
class gradient_heads {
 public:
  gradient_heads(const projections& student, const projection_gradients& gradient, bool accumulate)
      : student_(&student),
        gradient_(&gradient),
        accumulate_(accumulate),
        is_collected_(gradient.queries.data != nullptr && is_16_bit(gradient.queries.type)) {
    if (!is_collected_) return;
    queries_ = float_head(gradient.queries.extents, student.query_heads);
    if (!is_self()) keys_ = float_head(gradient.keys.extents, student.key_heads);
  }

  std::size_t bytes() const { return queries_.bytes() + keys_.bytes(); }
  void place(std::byte*& memory) { queries_.place(memory), keys_.place(memory); }

  output_matrix queries(std::size_t sample, std::size_t head, std::size_t column, std::size_t count) const {
    if (is_collected_) return queries_.part(column, count);
    return part_at(gradient_->queries, sample, student_->query_heads, head, column, count);
  }
  output_matrix keys(std::size_t sample, std::size_t key_head, std::size_t column, std::size_t count) const {
    if (is_collected_) return (is_self() ? queries_ : keys_).part(column, count);
    return part_at(gradient_->keys, sample, student_->key_heads, key_head, column, count);
  }

  // Before and after the heads that share keys, and each of these heads.
  template <class Zero>
  void begin(std::size_t sample, std::size_t key_head, Zero zero) const {
    if (is_collected_) return (is_self() ? queries_ : keys_).clear();
    if (!accumulate_) for_each_part(gradient_->keys, sample, student_->key_heads, key_head, zero);
  }
  template <class Zero>
  void begin_head(std::size_t sample, std::size_t head, Zero zero) const {
    if (is_self()) return;
    if (is_collected_) return queries_.clear();
    if (!accumulate_) for_each_part(gradient_->queries, sample, student_->query_heads, head, zero);
  }
  void end_head(const attention_frame& frame, std::size_t sample, std::size_t head) const {
    if (!is_collected_ || is_self()) return;
    write(queries_, gradient_->queries, sample, student_->query_heads, head, frame.queries_of(sample));
  }
  void end(const attention_frame& frame, std::size_t sample, std::size_t key_head) const {
    if (!is_collected_) return;
    const sample_positions every{{}, sample, frame.keys};
    write(is_self() ? queries_ : keys_, gradient_->keys, sample, student_->key_heads, key_head,
          is_self() ? every : frame.keys_of(sample));
  }

 private:
  bool is_self() const { return is_same_tensor(gradient_->queries, gradient_->keys); }
  void write(const float_head& from, const output_tensor& to, std::size_t sample, std::size_t heads,
             std::size_t head, const sample_positions& positions) const {
    for_each_part(to, sample, heads, head, [&](const output_matrix& part, std::size_t column) {
      from.write(part, column, positions, accumulate_);
    });
  }

  const projections* student_;
  const projection_gradients* gradient_;
  bool accumulate_, is_collected_;
  float_head queries_, keys_;
};

}  // namespace distill::inline DISTILL_ABI::detail
