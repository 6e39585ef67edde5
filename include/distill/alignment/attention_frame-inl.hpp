// Which queries and keys of each sample take part, and the checks of everything that says so.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/alignment/evaluate_attention.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/view/require_tensor-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

// Consecutive positions that take part.
struct position_run {
  std::size_t begin, end;
  bool empty() const { return begin == end; }
  std::size_t size() const { return end - begin; }
};

// The positions of one sample.
struct sample_positions {
  mask_view mask;
  std::size_t sample, limit;

  bool takes_part(std::size_t i) const { return i < limit && (mask.empty() || mask(sample, i)); }
  // The first run within [begin, end).
  position_run next(std::size_t begin, std::size_t end) const {
    end = std::min(end, limit);
    if (begin >= end) return {end, end};
    if (mask.empty()) return {begin, end};
    while (begin < end && !mask(sample, begin)) ++begin;
    std::size_t stop = begin;
    while (stop < end && mask(sample, stop)) ++stop;
    return {begin, stop};
  }
  // Calls f(run, how many positions of earlier runs) for all runs below `end`.
  template <class F>
  void for_each_run(std::size_t end, F f) const {
    std::size_t before = 0;
    for (position_run run = next(0, end); !run.empty(); run = next(run.end, end)) {
      f(run, before);
      before += run.size();
    }
  }
};

struct counted_rows {
  std::size_t rows = 0, pairs = 0;
};

struct attention_frame {
  std::size_t batch, heads, queries, keys;
  const attention_options* options;

  std::size_t rows() const { return batch * heads * queries; }
  std::size_t row(std::size_t sample, std::size_t head, std::size_t query) const {
    return (sample * heads + head) * queries + query;
  }
  sample_positions keys_of(std::size_t sample) const {
    return {options->key_mask, sample, limit(options->key_lengths, sample, keys)};
  }
  sample_positions queries_of(std::size_t sample) const {
    return {options->query_mask, sample, limit(options->query_lengths, sample, queries)};
  }
  // Keys from here on are hidden from the query.
  std::size_t key_end(std::size_t query) const { return options->causal ? query + 1 + keys - queries : keys; }

  counted_rows count() const {
    counted_rows counted;
    for (std::size_t sample = 0; sample < batch; ++sample) {
      const sample_positions q = queries_of(sample), k = keys_of(sample);
      std::size_t seen = 0, visible = 0;
      for (std::size_t i = 0; i < queries; ++i) {
        for (const std::size_t end = key_end(i); seen < end; ++seen) visible += k.takes_part(seen) ? 1 : 0;
        if (visible == 0 || !q.takes_part(i)) continue;
        counted.rows += heads;
        counted.pairs += heads * visible;
      }
    }
    return counted;
  }

  // What the sum is divided by; 0 if no row counts.
  double denominator() const {
    if (options->denominator) return *options->denominator;
    if (options->reduction == reduction::none || options->reduction == reduction::sum) return 1;
    const counted_rows counted = count();
    return static_cast<double>(options->reduction == reduction::mean ? counted.pairs : counted.rows);
  }

 private:
  static std::size_t limit(const label_view& lengths, std::size_t sample, std::size_t most) {
    return lengths.size() == 0 ? most : static_cast<std::size_t>(lengths[sample]);
  }
};

// ---- checks

// How messages call a tensor: "student", "teacher's keys", "gradient of queries".
struct tensor_name {
  const char *before, *what;
  std::string text() const { return std::string(before) + what; }
};

inline void check_positions(const char* name, const char* mask_name, const mask_view& mask,
                            const char* lengths_name, const label_view& lengths, std::size_t batch,
                            std::size_t positions) {
  if (!mask.empty() && (mask.samples() != batch || mask.positions() != positions))
    throw shape_error(std::string(name) + ": " + mask_name + " is " + std::to_string(mask.samples()) + " x " +
                      std::to_string(mask.positions()) + ", must be " + std::to_string(batch) + " x " +
                      std::to_string(positions));
  if (lengths.size() == 0) return;
  if (lengths.size() != batch)
    throw shape_error(std::string(name) + ": " + lengths_name + " has " + std::to_string(lengths.size()) +
                      " entries, the batch has " + std::to_string(batch) + " samples");
  for (std::size_t sample = 0; sample < batch; ++sample) {
    const std::int64_t length = lengths[sample];
    if (length < 1 || length > static_cast<std::int64_t>(positions))
      throw data_error(std::string(name) + ": " + lengths_name + "[" + std::to_string(sample) + "] is " +
                       std::to_string(length) + ", must be in [1, " + std::to_string(positions) + "]");
  }
}

inline void check_attention_options(const char* name, const attention_frame& frame) {
  const attention_options& options = *frame.options;
  check_positions(name, "key_mask", options.key_mask, "key_lengths", options.key_lengths, frame.batch,
                  frame.keys);
  check_positions(name, "query_mask", options.query_mask, "query_lengths", options.query_lengths, frame.batch,
                  frame.queries);
  if (options.causal && frame.keys < frame.queries)
    throw shape_error(std::string(name) + ": causal needs at least as many keys as queries, got " +
                      std::to_string(frame.keys) + " keys and " + std::to_string(frame.queries) + " queries");
  if (!options.row_values.empty() && options.row_values.size() != frame.rows())
    throw shape_error(std::string(name) + ": row_values has " + std::to_string(options.row_values.size()) +
                      " entries, batch x heads x queries is " + std::to_string(frame.rows()));
  if (options.reduction == reduction::none && options.row_values.empty())
    throw parameter_error(std::string(name) + ": reduction::none needs row_values");
  if (!options.denominator) return;
  if (options.reduction == reduction::none)
    throw parameter_error(std::string(name) + ": reduction::none has no denominator");
  if (!(std::isfinite(*options.denominator) && *options.denominator > 0))
    throw_parameter(name, "denominator", "finite and > 0", text_of(*options.denominator));
}

// The caller's vectors beside a gradient.
inline void check_beside_gradient(const char* name, const attention_options& options,
                                  const tensor_name& gradient_name, const output_tensor& gradient) {
  const auto check = [&](const char* what, const void* data, std::size_t size, std::ptrdiff_t byte_stride,
                         std::size_t bytes) {
    if (intersect(bytes_of<1>(data, bytes, {size}, {byte_stride}), bytes_of(gradient)))
      throw layout_error(std::string(name) + ": " + gradient_name.text() + " overlaps " + what);
  };
  check("row_values", options.row_values.data_handle(), options.row_values.size(),
        options.row_values.stride() * 8, 8);
  for (const auto& [mask, what] :
       {std::pair{&options.key_mask, "key_mask"}, std::pair{&options.query_mask, "query_mask"}})
    for (std::size_t sample = 0; sample < mask->samples(); ++sample)
      check(what, mask->row(sample), mask->positions(), mask->byte_stride(), mask->item_bytes());
  for (const auto& [lengths, what] :
       {std::pair{&options.key_lengths, "key_lengths"}, std::pair{&options.query_lengths, "query_lengths"}})
    check(what, lengths->data(), lengths->size(), lengths->byte_stride(), 4);
}

inline constexpr tensor_name of_student{"", "student"}, of_teacher{"", "teacher"},
    of_gradient{"", "gradient"};

template <class Void>
void require_memory_of(const char* name, const tensor_name& what, const untyped_tensor<Void>& x) {
  if (const char* defect = defect_of(x)) throw layout_error(std::string(name) + ": " + what.text() + defect);
}

inline void require_apart(const char* name, const tensor_name& what, const input_tensor& x,
                          const tensor_name& gradient_name, const output_tensor& gradient) {
  if (sharing::between(x, gradient))
    throw layout_error(std::string(name) + ": " + gradient_name.text() + " overlaps " + what.text());
}

// Where units name what the extents count; those without a name are not compared.
inline void require_extents(const char* name, const tensor_name& what, const std::array<std::size_t, 4>& got,
                            const tensor_name& reference, const std::array<std::size_t, 4>& expected,
                            const std::array<const char*, 4>& units) {
  for (std::size_t i = 0; i < 4; ++i)
    if (units[i] != nullptr && got[i] != expected[i])
      require_extent(name, what.text(), got[i], units[i], reference.text(), expected[i]);
}

inline void require_positive(const char* name, const tensor_name& what,
                             const std::array<std::size_t, 4>& extents,
                             const std::array<const char*, 4>& units) {
  for (std::size_t i = 0; i < 4; ++i)
    if (extents[i] == 0) throw shape_error(std::string(name) + ": " + what.text() + " has 0 " + units[i]);
}

}  // namespace distill::inline DISTILL_ABI::detail
