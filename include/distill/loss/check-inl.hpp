// The checks before a loss is evaluated: everything that can be wrong is found before anything is written.
#pragma once

#include <cmath>
#include <cstdint>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/label_check-inl.hpp>
#include <distill/loss/row_parameters-inl.hpp>
#include <distill/view/require_memory-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void check_parameters(const loss_term& term) {
#if defined(DISTILL_HEADER_ONLY)
  if (term.kernels == nullptr) throw_parameter(term.name, "kernels", "those of a loss's term()", "none");
#endif
  if (!std::isfinite(term.coefficient))
    throw_parameter("objective", std::string("the coefficient of ") + term.name, "finite",
                    text_of(term.coefficient));
  require_temperature(term.name, "temperature", term.temperature);
  require_temperature(term.name, "teacher_temperature", term.teacher_temperature);
  switch (term.kind) {
    case loss_kind::jensen_shannon:
      if (!(term.beta > 0 && term.beta < 1))
        throw_parameter(term.name, "beta", "in (0, 1)", text_of(term.beta));
      break;
    case loss_kind::skewed_forward_kl:
    case loss_kind::skewed_reverse_kl:
      if (!(term.alpha >= 0 && term.alpha < 1))
        throw_parameter(term.name, "alpha", "in [0, 1)", text_of(term.alpha));
      break;
    case loss_kind::alpha_beta:
      if (!std::isfinite(term.alpha)) throw_parameter(term.name, "alpha", "finite", text_of(term.alpha));
      if (!std::isfinite(term.beta)) throw_parameter(term.name, "beta", "finite", text_of(term.beta));
      break;
    case loss_kind::cross_entropy:
      if (!(term.label_smoothing >= 0 && term.label_smoothing <= 1))
        throw_parameter(term.name, "label_smoothing", "in [0, 1]", text_of(term.label_smoothing));
      break;
    case loss_kind::ranking_hinge:
      if (!(std::isfinite(term.margin) && term.margin >= 0))
        throw_parameter(term.name, "margin", "finite and >= 0", text_of(term.margin));
      break;
    default:
      break;
  }
  for_each_row_parameter(term, [&](const char* what, double value, bool valid, const char* range) {
    if (!valid) throw_parameter(term.name, what, range, text_of(value));
  });
}

inline void check_gradient(const char* name, const output_matrix& gradient, const input_matrix& student,
                           const input_matrix& teacher, const row_options& rows) {
  require_extent(name, "gradient", gradient.rows, "rows", "student", student.rows);
  require_extent(name, "gradient", gradient.columns, "classes", "student", student.columns);
  if (gradient.data == nullptr) throw layout_error(std::string(name) + ": gradient has no memory");
  const bool widened = size_of(student.type) == 2 && gradient.type == element_type::float32;
  if (gradient.type != student.type && !widened)
    throw layout_error(std::string(name) + ": gradient is " + name_of(gradient.type) + ", student is " +
                       name_of(student.type) + "; it must be the same" +
                       (size_of(student.type) == 2 ? ", or float32" : ""));
  require_aligned(name, "gradient", gradient);
  require_distinct_elements(name, "gradient", gradient);
  require_no_overlap(name, "student", student, "gradient", gradient);
  if (teacher.data != nullptr) require_no_overlap(name, "teacher", teacher, "gradient", gradient);
  require_no_overlap(name, "row_weights", rows.row_weights.data_handle(), rows.row_weights.size(),
                     rows.row_weights.stride() * 4, 4, "gradient", gradient);
  require_no_overlap(name, "row_values", rows.row_values.data_handle(), rows.row_values.size(),
                     rows.row_values.stride() * 8, 8, "gradient", gradient);
  require_no_overlap(name, "temperature_slopes", rows.temperature_slopes.data_handle(),
                     rows.temperature_slopes.size(), rows.temperature_slopes.stride() * 8, 8, "gradient",
                     gradient);
}

// ---- rows

inline void check_temperature_slopes(const char* name, std::span<const loss_term> terms,
                                     const input_matrix& student, const vector_view<double>& slopes) {
  if (slopes.empty()) return;
  require_extent(name, "temperature_slopes", slopes.size(), "entries", "student", student.rows);
  for (const loss_term& term : terms)
    if (term.moves_with_temperature() && !term.has_temperature_slope())
      throw parameter_error(std::string(term.name) + ": has no slope by the temperature" +
                            (term.kind == loss_kind::user_divergence ? " without teacher_slope(p, q)" : "") +
                            ", so temperature_slopes must be empty");
}

inline void refuse_temperature_slopes(const char* name, const row_options& rows) {
  if (!rows.temperature_slopes.empty())
    throw parameter_error(std::string(name) + ": has no temperature, so temperature_slopes must be empty");
}

// The numbers of the rows that count.
template <class Counts>
void check_temperatures_of_rows(const char* name, const char* what,
                                const vector_view<const float>& temperatures, const input_matrix& student,
                                const output_matrix& gradient, Counts counts) {
  require_extent(name, what, temperatures.size(), "entries", "student", student.rows);
  if (gradient.data != nullptr)
    require_no_overlap(name, what, temperatures.data_handle(), temperatures.size(), temperatures.stride() * 4,
                       4, "gradient", gradient);
  for (std::size_t row = 0; row < student.rows; ++row) {
    if (!counts(row)) continue;
    const float temperature = temperatures[row];
    if (!(temperature > 0 && std::isfinite(temperature)))
      require_temperature(name, std::string(what) + "[" + std::to_string(row) + "]", temperature);
  }
}

inline bool is_masked(const row_options& rows, std::size_t row) {
  return !rows.row_weights.empty() && rows.row_weights[row] == 0;
}

inline void check_row_temperatures(const loss_term& term, const char* what,
                                   const std::optional<row_temperature>& given, const input_matrix& student,
                                   const row_options& rows, const output_matrix& gradient) {
  if (!given) return;
  check_temperatures_of_rows(term.name, what, given->rows(), student, gradient, [&](std::size_t row) {
    return !is_masked(rows, row) && !(term.needs_labels() && term.labels[row] == term.ignore_index);
  });
}

// The same of a loss that is no term.
inline void check_row_temperatures(const char* name, const row_temperature& student_temperature,
                                   const row_temperature& teacher_temperature, const input_matrix& student,
                                   const row_options& rows, const output_matrix& gradient) {
  const auto counts = [&](std::size_t row) { return !is_masked(rows, row); };
  if (student_temperature.is_per_row())
    check_temperatures_of_rows(name, "temperature", student_temperature.rows(), student, gradient, counts);
  if (teacher_temperature.is_per_row() && !(teacher_temperature == student_temperature))
    check_temperatures_of_rows(name, "teacher_temperature", teacher_temperature.rows(), student, gradient,
                               counts);
}

inline void check_rows(const char* name, std::size_t count, const row_options& rows) {
  if (!rows.row_weights.empty())
    require_extent(name, "row_weights", rows.row_weights.size(), "entries", "student", count);
  for (std::size_t row = 0; row < rows.row_weights.size(); ++row)
    if (!std::isfinite(rows.row_weights[row]))
      throw_parameter(name, "row_weights[" + std::to_string(row) + "]", "finite",
                      text_of(static_cast<double>(rows.row_weights[row])));
  if (!rows.row_values.empty())
    require_extent(name, "row_values", rows.row_values.size(), "entries", "student", count);
  if (rows.reduction == reduction::none && rows.row_values.empty())
    throw parameter_error(std::string(name) + ": reduction::none needs row_values");
  if (!rows.denominator) return;
  if (rows.reduction == reduction::none)
    throw parameter_error(std::string(name) + ": reduction::none has no denominator");
  if (!(std::isfinite(*rows.denominator) && *rows.denominator > 0))
    throw_parameter(name, "denominator", "finite and > 0", text_of(*rows.denominator));
}

inline void check_labels(const loss_term& term, const input_matrix& student, const row_options& rows,
                         const output_matrix& gradient) {
  require_extent(term.name, "labels", term.labels.size(), "entries", "student", student.rows);
  if (gradient.data != nullptr)
    require_no_overlap(term.name, "labels", term.labels.data(), term.labels.size(), term.labels.byte_stride(),
                       1, "gradient", gradient);
  require_labels_of_classes(term.name, term.labels, term.ignore_index, rows.row_weights, student.columns);
}

inline void check_arguments(const char* name, std::span<const loss_term> terms, const input_matrix& student,
                            const input_matrix& teacher, const output_matrix& gradient,
                            const row_options& rows) {
  if (terms.empty()) throw parameter_error(std::string(name) + ": has no losses");
  for (const loss_term& term : terms) check_parameters(term);
  for (const auto& [extent, unit] : {std::pair{student.rows, "rows"}, std::pair{student.columns, "classes"}})
    if (extent == 0) throw shape_error(std::string(name) + ": student has 0 " + unit);
  if (student.data == nullptr) throw layout_error(std::string(name) + ": student has no memory");
  require_aligned(name, "student", student);
  for (const loss_term& term : terms) {
    if (!term.needs_teacher()) continue;
    if (teacher.data == nullptr && teacher.rows == 0)
      throw parameter_error(std::string(term.name) + ": needs a teacher");
    require_extent(name, "teacher", teacher.rows, "rows", "student", student.rows);
    require_extent(name, "teacher", teacher.columns, "classes", "student", student.columns);
    if (teacher.data == nullptr) throw layout_error(std::string(name) + ": teacher has no memory");
    require_aligned(name, "teacher", teacher);
  }
  check_rows(name, student.rows, rows);
  check_temperature_slopes(name, terms, student, rows.temperature_slopes);
  if (gradient.data != nullptr || gradient.rows > 0) check_gradient(name, gradient, student, teacher, rows);
  for (const loss_term& term : terms)
    if (term.needs_labels()) check_labels(term, student, rows, gradient);
  for (const loss_term& term : terms) {
    check_row_temperatures(term, "temperature", term.row_temperatures, student, rows, gradient);
    // The teacher's are the student's unless given.
    if (term.row_teacher_temperatures != term.row_temperatures)
      check_row_temperatures(term, "teacher_temperature", term.row_teacher_temperatures, student, rows,
                             gradient);
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
