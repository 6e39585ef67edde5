// What mixing checks of its arguments, before anything is written.
#pragma once

#include <cmath>
#include <distill/teacher/memory_check-inl.hpp>
#include <distill/teacher/mixing_job.hpp>
#include <distill/view/element_access-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline const char* name_of(mixing_kind kind) {
  switch (kind) {
    case mixing_kind::probabilities:
      return "mean_of_probabilities";
    case mixing_kind::log_probabilities:
      return "mean_of_log_probabilities";
    case mixing_kind::logits:
      return "mean_of_logits";
    case mixing_kind::divergences:
      return "divergences_from_mean";
  }
  return "";
}

inline std::string at(std::string_view what, std::size_t row, std::size_t column) {
  return std::string(what) + "(" + std::to_string(row) + ", " + std::to_string(column) + ")";
}

inline void require_weight(std::string_view name, const std::string& what, double weight) {
  if (!(std::isfinite(weight) && weight >= 0))
    throw_parameter(name, what, "finite and >= 0", text_of(weight));
}

inline void check_teachers(const char* name, const teacher_list& teachers) {
  if (teachers.empty()) throw parameter_error(std::string(name) + ": has no teachers");
  for (std::size_t i = 0; i < teachers.size(); ++i) {
    const std::string what = "teachers[" + std::to_string(i) + "]";
    require_extent(name, what, teachers[i].rows, "rows", "teachers[0]", teachers[0].rows);
    require_extent(name, what, teachers[i].columns, "classes", "teachers[0]", teachers[0].columns);
    require_input(name, what, teachers[i]);
  }
}

inline void check_chosen(const char* name, const mixing_job& job) {
  const auto& chosen = job.chosen;
  if (!job.is_routed()) return;
  require_extent(name, "chosen", chosen.rows(), "rows", "teachers[0]", job.rows());
  if (chosen.columns() > 0 && chosen.data_handle() == nullptr)
    throw layout_error(std::string(name) + ": chosen has no memory");
  for (std::size_t row = 0; row < chosen.rows(); ++row)
    for (std::size_t i = 0; i < chosen.columns() && !job.is_masked(row); ++i) {
      const std::int32_t teacher = chosen(row, i);
      if (teacher >= -1 && teacher < static_cast<std::int32_t>(job.teachers.size())) continue;
      throw data_error(std::string(name) + ": " + at("chosen", row, i) + " is " + std::to_string(teacher) +
                       ", must be in [0, " + std::to_string(job.teachers.size()) + ") or -1");
    }
}

inline void check_weights(const char* name, const mixing_job& job) {
  const bool has_rows = job.weights_of_rows.data != nullptr || job.weights_of_rows.rows > 0;
  if (!job.weights.empty()) {
    if (has_rows) throw parameter_error(std::string(name) + ": has both weights and weights_of_rows");
    if (job.weights.size() != job.teachers.size())
      throw shape_error(std::string(name) + ": weights has " + std::to_string(job.weights.size()) +
                        " entries, there are " + std::to_string(job.teachers.size()) + " teachers");
    double total = 0;
    for (std::size_t i = 0; i < job.weights.size(); ++i) {
      require_weight(name, "weights[" + std::to_string(i) + "]", job.weights[i]);
      total += job.weights[i];
    }
    if (total == 0) throw parameter_error(std::string(name) + ": all weights are 0");
  }
  if (!has_rows) return;
  const input_matrix& w = job.weights_of_rows;
  const std::size_t columns = job.is_routed() ? job.chosen.columns() : job.teachers.size();
  require_extent(name, "weights_of_rows", w.rows, "rows", "teachers[0]", job.rows());
  if (w.columns != columns)
    throw shape_error(std::string(name) + ": weights_of_rows has " + std::to_string(w.columns) +
                      " columns, " +
                      (job.is_routed() ? "chosen has " + std::to_string(columns)
                                       : "there are " + std::to_string(columns) + " teachers"));
  if (w.data == nullptr) throw layout_error(std::string(name) + ": weights_of_rows has no memory");
  require_aligned(name, "weights_of_rows", w);
  for (std::size_t row = 0; row < w.rows; ++row)
    for (std::size_t i = 0; i < w.columns && !job.is_masked(row); ++i)
      require_weight(name, at("weights_of_rows", row, i), element_at(w, row, i));
}

// The output may be a teacher's own elements if it has as many.
inline void check_mixed(const char* name, const mixing_job& job) {
  const output_matrix& output = job.output;
  const bool is_mean = job.kind != mixing_kind::divergences;
  const std::size_t columns = is_mean ? job.classes() : job.teachers.size();
  const char* const what = is_mean ? "output" : "divergences";
  require_extent(name, what, output.rows, "rows", "teachers[0]", job.rows());
  if (output.columns != columns)
    throw shape_error(std::string(name) + ": " + what + " has " + std::to_string(output.columns) +
                      " columns, " +
                      (is_mean ? "teachers[0] has " + std::to_string(columns)
                               : "there are " + std::to_string(columns) + " teachers"));
  if (output.data == nullptr) throw layout_error(std::string(name) + ": " + what + " has no memory");
  require_aligned(name, what, output);
  require_distinct_elements(name, what, output);
  const auto refuse = [&](byte_range bytes, const std::string& input) {
    require_apart(name, {{what, bytes_of(output)}}, {{input, bytes}});
  };
  for (std::size_t i = 0; i < job.teachers.size(); ++i) {
    const std::string teacher = "teachers[" + std::to_string(i) + "]";
    if (is_mean)
      require_no_overlap(name, teacher, job.teachers[i], what, output);
    else
      refuse(bytes_of(job.teachers[i]), teacher);
  }
  refuse(bytes_of(job.weights), "weights");
  for (std::size_t row = 0; row < job.chosen.rows() && job.chosen.columns() > 0; ++row)
    refuse(bytes_of(vector_view(&job.chosen(row, 0), job.chosen.columns(), job.chosen.stride(1))), "chosen");
  refuse(bytes_of(job.row_weights), "row_weights");
  if (job.weights_of_rows.data != nullptr) refuse(bytes_of(job.weights_of_rows), "weights_of_rows");
}

}  // namespace distill::inline DISTILL_ABI::detail
