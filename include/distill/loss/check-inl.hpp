// The checks before a loss is evaluated: everything that can be wrong is found before anything is written.
#pragma once

#include <cmath>
#include <cstdint>
#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI::detail {

DISTILL_INLINE std::string text_of(double value) {
  std::string text = std::to_string(value);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "0" && value != 0 ? std::to_string(value * 1e9) + "e-9" : text;
}

[[noreturn]] DISTILL_INLINE void throw_parameter(std::string_view name, std::string_view what,
                                                 std::string_view expected, const std::string& got) {
  throw parameter_error(std::string(name) + ": " + std::string(what) + " must be " + std::string(expected) +
                        ", got " + got);
}

DISTILL_INLINE void require_extent(std::string_view name, std::string_view what, std::size_t got,
                                   std::string_view unit, std::size_t student) {
  if (got == student) return;
  const std::string dimension = unit == "entries" ? "rows" : std::string(unit);
  throw shape_error(std::string(name) + ": " + std::string(what) + " has " + std::to_string(got) + " " +
                    std::string(unit) + ", student has " + std::to_string(student) + " " + dimension);
}

DISTILL_INLINE void check_temperature(const loss_term& term, std::string_view what, double temperature) {
  if (!(std::isfinite(temperature) && temperature > 0))
    throw_parameter(term.name, what, "finite and > 0", text_of(temperature));
}

DISTILL_INLINE void check_parameters(const loss_term& term) {
  if (!std::isfinite(term.coefficient))
    throw_parameter("objective", std::string("the coefficient of ") + term.name, "finite", text_of(term.coefficient));
  check_temperature(term, "temperature", term.temperature);
  check_temperature(term, "teacher_temperature", term.teacher_temperature);
  switch (term.kind) {
    case loss_kind::jensen_shannon:
      if (!(term.beta > 0 && term.beta < 1)) throw_parameter(term.name, "beta", "in (0, 1)", text_of(term.beta));
      break;
    case loss_kind::skewed_forward_kl:
    case loss_kind::skewed_reverse_kl:
      if (!(term.alpha >= 0 && term.alpha < 1)) throw_parameter(term.name, "alpha", "in [0, 1)", text_of(term.alpha));
      break;
    case loss_kind::alpha_beta:
      if (!std::isfinite(term.alpha)) throw_parameter(term.name, "alpha", "finite", text_of(term.alpha));
      if (!std::isfinite(term.beta)) throw_parameter(term.name, "beta", "finite", text_of(term.beta));
      break;
    case loss_kind::cross_entropy:
      if (!(term.label_smoothing >= 0 && term.label_smoothing <= 1))
        throw_parameter(term.name, "label_smoothing", "in [0, 1]", text_of(term.label_smoothing));
      break;
    default: break;
  }
}

// ---- memory

struct byte_range {
  std::uintptr_t begin = 0, end = 0;
};

template <class Void>
byte_range bytes_of(const untyped_matrix<Void>& m) {
  const auto bytes = static_cast<std::ptrdiff_t>(size_of(m.type));
  std::ptrdiff_t low = 0, high = 0;
  for (const auto& [extent, stride] : {std::pair{m.rows, m.row_stride}, std::pair{m.columns, m.column_stride}}) {
    const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(extent) - 1) * stride;
    (span < 0 ? low : high) += span;
  }
  const auto origin = reinterpret_cast<std::uintptr_t>(m.data);
  return {origin + static_cast<std::uintptr_t>(low * bytes), origin + static_cast<std::uintptr_t>((high + 1) * bytes)};
}

DISTILL_INLINE bool intersect(byte_range a, byte_range b) { return a.begin < b.end && b.begin < a.end; }

DISTILL_INLINE bool same_elements(const input_matrix& a, const output_matrix& b) {
  return a.data == b.data && a.type == b.type && (a.rows <= 1 || a.row_stride == b.row_stride) &&
         (a.columns <= 1 || a.column_stride == b.column_stride);
}

// Two windows of columns of one row-major buffer, side by side.
DISTILL_INLINE bool side_by_side(const input_matrix& a, const output_matrix& b) {
  if (a.type != b.type || a.column_stride != 1 || b.column_stride != 1 || a.row_stride != b.row_stride) return false;
  const auto bytes = static_cast<std::ptrdiff_t>(size_of(a.type));
  const std::ptrdiff_t pitch = std::abs(a.row_stride) * bytes;
  if (pitch == 0) return false;
  std::ptrdiff_t offset = (static_cast<const char*>(b.data) - static_cast<const char*>(a.data)) % pitch;
  if (offset < 0) offset += pitch;
  return offset >= static_cast<std::ptrdiff_t>(a.columns) * bytes &&
         offset + static_cast<std::ptrdiff_t>(b.columns) * bytes <= pitch;
}

DISTILL_INLINE void check_no_overlap(std::string_view name, std::string_view what, const input_matrix& input,
                                     const output_matrix& gradient) {
  if (!intersect(bytes_of(input), bytes_of(gradient)) || same_elements(input, gradient) ||
      side_by_side(input, gradient))
    return;
  throw layout_error(std::string(name) + ": gradient overlaps " + std::string(what) +
                     " without being exactly the same elements");
}

DISTILL_INLINE void check_no_overlap(std::string_view name, std::string_view what, const void* data, std::size_t size,
                                     std::ptrdiff_t byte_stride, std::size_t bytes, const output_matrix& gradient) {
  if (size == 0) return;
  const auto origin = reinterpret_cast<std::uintptr_t>(data);
  const std::ptrdiff_t span = (static_cast<std::ptrdiff_t>(size) - 1) * byte_stride;
  const byte_range range{origin + static_cast<std::uintptr_t>(span < 0 ? span : 0),
                         origin + static_cast<std::uintptr_t>(span > 0 ? span : 0) + bytes};
  if (intersect(range, bytes_of(gradient)))
    throw layout_error(std::string(name) + ": gradient overlaps " + std::string(what));
}

template <class Void>
void check_memory(std::string_view name, std::string_view what, const untyped_matrix<Void>& m) {
  if (reinterpret_cast<std::uintptr_t>(m.data) % size_of(m.type) != 0)
    throw layout_error(std::string(name) + ": " + std::string(what) + " is not aligned to its " +
                       std::to_string(size_of(m.type)) + "-byte elements");
}

DISTILL_INLINE void check_gradient(const char* name, const output_matrix& gradient, const input_matrix& student,
                                   const input_matrix& teacher, const row_options& rows) {
  require_extent(name, "gradient", gradient.rows, "rows", student.rows);
  require_extent(name, "gradient", gradient.columns, "classes", student.columns);
  const bool widened = size_of(student.type) == 2 && gradient.type == element_type::float32;
  if (gradient.type != student.type && !widened)
    throw layout_error(std::string(name) + ": gradient is " + name_of(gradient.type) + ", student is " +
                       name_of(student.type) + "; it must be the same" +
                       (size_of(student.type) == 2 ? ", or float32" : ""));
  check_memory(name, "gradient", gradient);
  if ((gradient.rows > 1 && gradient.row_stride == 0) || (gradient.columns > 1 && gradient.column_stride == 0))
    throw layout_error(std::string(name) + ": gradient has a stride of 0, so its elements are not distinct");
  check_no_overlap(name, "student", student, gradient);
  if (teacher.data != nullptr) check_no_overlap(name, "teacher", teacher, gradient);
  check_no_overlap(name, "row_weights", rows.row_weights.data_handle(), rows.row_weights.size(),
                   rows.row_weights.stride() * 4, 4, gradient);
  check_no_overlap(name, "row_values", rows.row_values.data_handle(), rows.row_values.size(),
                   rows.row_values.stride() * 8, 8, gradient);
}

// ---- rows

DISTILL_INLINE void check_rows(const char* name, std::size_t count, const row_options& rows) {
  if (!rows.row_weights.empty()) require_extent(name, "row_weights", rows.row_weights.size(), "entries", count);
  for (std::size_t row = 0; row < rows.row_weights.size(); ++row)
    if (!std::isfinite(rows.row_weights[row]))
      throw_parameter(name, "row_weights[" + std::to_string(row) + "]", "finite",
                      text_of(static_cast<double>(rows.row_weights[row])));
  if (!rows.row_values.empty()) require_extent(name, "row_values", rows.row_values.size(), "entries", count);
  if (rows.reduction == reduction::none && rows.row_values.empty())
    throw parameter_error(std::string(name) + ": reduction::none needs row_values");
  if (!rows.denominator) return;
  if (rows.reduction == reduction::none)
    throw parameter_error(std::string(name) + ": reduction::none has no denominator");
  if (!(std::isfinite(*rows.denominator) && *rows.denominator > 0))
    throw_parameter(name, "denominator", "finite and > 0", text_of(*rows.denominator));
}

DISTILL_INLINE void check_labels(const loss_term& term, const input_matrix& student, const row_options& rows,
                                 const output_matrix& gradient) {
  require_extent(term.name, "labels", term.labels.size(), "entries", student.rows);
  if (gradient.data != nullptr)
    check_no_overlap(term.name, "labels", term.labels.data(), term.labels.size(), term.labels.byte_stride(), 1,
                     gradient);
  for (std::size_t row = 0; row < student.rows; ++row) {
    const std::int64_t label = term.labels[row];
    const bool masked = !rows.row_weights.empty() && rows.row_weights[row] == 0;
    if (masked || label == term.ignore_index || (label >= 0 && static_cast<std::size_t>(label) < student.columns))
      continue;
    throw data_error(std::string(term.name) + ": labels[" + std::to_string(row) + "] is " + std::to_string(label) +
                     ", must be in [0, " + std::to_string(student.columns) + ") or ignore_index " +
                     std::to_string(term.ignore_index));
  }
}

DISTILL_INLINE void check_arguments(const char* name, std::span<const loss_term> terms, const input_matrix& student,
                                    const input_matrix& teacher, const output_matrix& gradient,
                                    const row_options& rows) {
  if (terms.empty()) throw parameter_error(std::string(name) + ": has no losses");
  for (const loss_term& term : terms) check_parameters(term);
  for (const auto& [extent, unit] : {std::pair{student.rows, "rows"}, std::pair{student.columns, "classes"}})
    if (extent == 0) throw shape_error(std::string(name) + ": student has 0 " + unit);
  if (student.data == nullptr) throw layout_error(std::string(name) + ": student has no memory");
  check_memory(name, "student", student);
  for (const loss_term& term : terms) {
    if (!term.needs_teacher()) continue;
    if (teacher.data == nullptr && teacher.rows == 0) throw parameter_error(std::string(term.name) + ": needs a teacher");
    require_extent(name, "teacher", teacher.rows, "rows", student.rows);
    require_extent(name, "teacher", teacher.columns, "classes", student.columns);
    if (teacher.data == nullptr) throw layout_error(std::string(name) + ": teacher has no memory");
    check_memory(name, "teacher", teacher);
  }
  check_rows(name, student.rows, rows);
  if (gradient.data != nullptr || gradient.rows > 0) check_gradient(name, gradient, student, teacher, rows);
  for (const loss_term& term : terms)
    if (term.needs_labels()) check_labels(term, student, rows, gradient);
}

}  // namespace distill::inline DISTILL_ABI::detail
