// Definitions of attention_transfer.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/alignment/attention_rows-inl.hpp>
#include <distill/alignment/attention_transfer.hpp>
#include <tuple>

namespace distill::inline DISTILL_ABI::detail {

// The kernels: src/attention_transfer_rows.cpp, or the end of this file in header-only mode. In double or in
// float.
DISTILL_INLINE void add_channel_powers(bool in_double, const input_tensor& x, std::size_t sample,
                                       double power, double* sums, void* scratch);
DISTILL_INLINE void store_channel_slopes(bool in_double, const input_tensor& x, const output_tensor& gradient,
                                         std::size_t sample, double power, const double* slopes,
                                         bool accumulate, void* scratch);

inline void check_attention_transfer(double power, const input_tensor& student, const input_tensor& teacher,
                                     const output_tensor& gradient, const row_options& rows) {
  constexpr const char* name = "attention_transfer";
  constexpr std::array<const char*, 4> units = {"samples", "channels", "rows", "columns"};
  if (!(std::isfinite(power) && power >= 1))
    throw_parameter(name, "power", "finite and >= 1", text_of(power));
  require_positive(name, of_student, student.extents, units);
  require_memory_of(name, of_student, student);
  require_extents(name, of_teacher, teacher.extents, of_student, student.extents,
                  {units[0], nullptr, units[2], units[3]});
  require_positive(name, of_teacher, teacher.extents, units);
  require_memory_of(name, of_teacher, teacher);
  check_rows(name, student.extents[0], rows);
  refuse_temperature_slopes(name, rows);
  if (gradient.is_absent()) return;
  require_extents(name, of_gradient, gradient.extents, of_student, student.extents, units);
  require_memory_of(name, of_gradient, gradient);
  const bool widened = size_of(student.type) == 2 && gradient.type == element_type::float32;
  if (gradient.type != student.type && !widened)
    throw layout_error(std::string(name) + ": gradient is " + name_of(gradient.type) + ", student is " +
                       name_of(student.type));
  if (!same_elements(student, gradient)) require_apart(name, of_student, student, of_gradient, gradient);
  require_apart(name, of_teacher, teacher, of_gradient, gradient);
  for (const auto& [data, count, stride, what] :
       {std::tuple{static_cast<const void*>(rows.row_weights.data_handle()), rows.row_weights.size(),
                   rows.row_weights.stride() * 4, "row_weights"},
        std::tuple{static_cast<const void*>(rows.row_values.data_handle()), rows.row_values.size(),
                   rows.row_values.stride() * 8, "row_values"}})
    if (intersect(bytes_of<1>(data, 4, {count}, {stride}), bytes_of(gradient)))
      throw layout_error(std::string(name) + ": gradient overlaps " + what);
}

// Divides by the norm, which is returned; zeros stay.
inline double normalise(double* a, std::size_t n) {
  double largest = 0, sum = 0;
  for (std::size_t i = 0; i < n; ++i)
    if (!(a[i] <= largest)) largest = a[i];
  if (largest == 0) return 0;
  for (std::size_t i = 0; i < n; ++i) sum += a[i] / largest * (a[i] / largest);
  const double norm = largest * std::sqrt(sum);
  for (std::size_t i = 0; i < n; ++i) a[i] /= norm;
  return norm;
}

class attention_transfer_walk {
 public:
  double power, denominator;
  const input_tensor &student, &teacher;
  const output_tensor& gradient;
  const row_options& rows;

  std::size_t positions() const { return student.extents[2] * student.extents[3]; }
  float weight(std::size_t sample) const {
    return rows.row_weights.empty() ? 1.0f : rows.row_weights[sample];
  }
  std::size_t map_bytes() const { return round_up_to_line(positions() * sizeof(double)); }
  std::size_t scratch_bytes() const { return 3 * map_bytes(); }

  // The value of a sample, before its weight.
  double sample(std::size_t index, std::byte* scratch) const {
    if (weight(index) == 0) {
      for (std::size_t c = 0; gradient.data != nullptr && !rows.accumulate && c < gradient.extents[1]; ++c)
        set_zero(gradient.matrix(index, c));
      return 0;
    }
    auto* const a = reinterpret_cast<double*>(scratch);
    auto* const target = reinterpret_cast<double*>(scratch + map_bytes());
    const double norm = map_of(student, index, a, scratch);
    map_of(teacher, index, target, scratch);
    double value = 0, along = 0;
    for (std::size_t i = 0; i < positions(); ++i) {
      const double off = a[i] - target[i];
      value += off * off;
      along += off * a[i];
    }
    if (gradient.data == nullptr) return value;
    const double factor = norm == 0 ? 0 : 2 * static_cast<double>(weight(index)) / (denominator * norm);
    for (std::size_t i = 0; i < positions(); ++i) a[i] = factor * (a[i] - target[i] - along * a[i]);
    store_channel_slopes(student.type == element_type::float64, student, gradient, index, power, a,
                         rows.accumulate, scratch + 2 * map_bytes());
    return value;
  }

 private:
  double map_of(const input_tensor& x, std::size_t index, double* a, std::byte* scratch) const {
    std::fill_n(a, positions(), 0.0);
    add_channel_powers(x.type == element_type::float64, x, index, power, a, scratch + 2 * map_bytes());
    return normalise(a, positions());
  }
};

DISTILL_INLINE double evaluate_attention_transfer(double power, const input_tensor& student,
                                                  const input_tensor& teacher, const output_tensor& gradient,
                                                  const row_options& rows) {
  check_attention_transfer(power, student, teacher, gradient, rows);
  const std::size_t samples = student.extents[0];
  attention_transfer_walk walk{power, 1, student, teacher, gradient, rows};
  if (rows.denominator) {
    walk.denominator = *rows.denominator;
  } else if (rows.reduction == reduction::batch_mean || rows.reduction == reduction::mean) {
    std::size_t counted = 0;
    for (std::size_t i = 0; i < samples; ++i) counted += walk.weight(i) != 0 ? 1 : 0;
    const std::size_t per_sample = rows.reduction == reduction::mean ? walk.positions() : 1;
    walk.denominator = static_cast<double>(counted == 0 ? 1 : counted * per_sample);
  }
  constexpr std::size_t much = std::size_t{1} << 20;  // a sample is work enough to be handed out by itself
  const row_blocks blocks(rows.executor, samples, much);
  const std::size_t kept = round_up_to_line(samples * sizeof(double));
  workspace own;
  std::byte* const memory =
      (rows.workspace != nullptr ? *rows.workspace : own).require(kept + blocks.slots * walk.scratch_bytes());
  auto* const values = reinterpret_cast<double*>(memory);
  blocks.run(rows.executor, memory + kept, walk.scratch_bytes(),
             [&](std::size_t begin, std::size_t end, void* scratch) {
               for (std::size_t i = begin; i < end; ++i)
                 values[i] =
                     static_cast<double>(walk.weight(i)) * walk.sample(i, static_cast<std::byte*>(scratch));
             });
  for (std::size_t i = 0; i < rows.row_values.size(); ++i) rows.row_values[i] = values[i];
  compensated_sum sum;
  for (std::size_t i = 0; i < samples; ++i) sum.add(values[i]);
  return sum.total() / walk.denominator;
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/attention_transfer-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void add_channel_powers(bool in_double, const input_tensor& x, std::size_t sample, double power,
                               double* sums, void* scratch) {
  if (in_double)
    simd::HWY_NAMESPACE::AddChannelPowers<double>(x, sample, power, sums, scratch);
  else
    simd::HWY_NAMESPACE::AddChannelPowers<float>(x, sample, power, sums, scratch);
}
inline void store_channel_slopes(bool in_double, const input_tensor& x, const output_tensor& gradient,
                                 std::size_t sample, double power, const double* slopes, bool accumulate,
                                 void* scratch) {
  if (in_double)
    simd::HWY_NAMESPACE::StoreChannelSlopes<double>(x, gradient, sample, power, slopes, accumulate, scratch);
  else
    simd::HWY_NAMESPACE::StoreChannelSlopes<float>(x, gradient, sample, power, slopes, accumulate, scratch);
}

}  // namespace distill::inline DISTILL_ABI::detail
#endif
