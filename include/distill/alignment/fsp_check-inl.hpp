// The checks of fsp, before anything is written.
#pragma once

#include <cmath>
#include <distill/alignment/fsp.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/view/require_memory-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

struct fsp_shape {
  std::size_t samples, positions, teacher_positions;
  std::size_t first, second;  // channels

  std::size_t entries() const { return first * second; }
};

inline void check_fsp_map(const input_matrix& m, const std::string& what, std::size_t rows,
                          std::size_t channels) {
  if (m.rows != rows)
    throw shape_error("fsp: " + what + " has " + std::to_string(m.rows) + " rows, its samples have " +
                      std::to_string(rows) + " positions");
  if (channels == 0) throw shape_error("fsp: " + what + " has 0 channels");
  if (m.columns != channels)
    throw shape_error("fsp: " + what + " has " + std::to_string(m.columns) + " channels, the student's has " +
                      std::to_string(channels));
  if (m.data == nullptr) throw layout_error("fsp: " + what + " has no memory");
  require_aligned("fsp", what, m);
}

inline void check_fsp_gradient(const output_matrix& gradient, const std::string& what,
                               const input_matrix& map, const std::string& map_name) {
  require_extent("fsp", what, gradient.rows, "rows", map_name, map.rows);
  require_extent("fsp", what, gradient.columns, "channels", map_name, map.columns);
  if (gradient.data == nullptr) throw layout_error("fsp: " + what + " has no memory");
  const bool widened = size_of(map.type) == 2 && gradient.type == element_type::float32;
  if (gradient.type != map.type && !widened)
    throw layout_error("fsp: " + what + " is " + name_of(gradient.type) + ", " + map_name + " is " +
                       name_of(map.type) + "; it must be the same" +
                       (size_of(map.type) == 2 ? ", or float32" : ""));
  require_aligned("fsp", what, gradient);
  require_distinct_elements("fsp", what, gradient);
}

inline void check_fsp_overlaps(const output_matrix& gradient, const std::string& what,
                               const fsp_inputs& student, const fsp_inputs& teacher,
                               const relational_options& options) {
  const std::pair<const input_matrix*, const char*> maps[] = {{&student.first, "student.first"},
                                                              {&student.second, "student.second"},
                                                              {&teacher.first, "teacher.first"},
                                                              {&teacher.second, "teacher.second"}};
  for (const auto& [map, name] : maps)
    if (intersect(bytes_of(*map), bytes_of(gradient)) && !side_by_side(*map, gradient))
      throw layout_error("fsp: " + what + " overlaps " + name);
  require_no_overlap("fsp", "row_mask", options.row_mask.data_handle(), options.row_mask.size(),
                     options.row_mask.stride() * 4, 4, what, gradient);
}

inline fsp_shape check_fsp(std::size_t positions, std::size_t teacher_positions, const fsp_inputs& student,
                           const fsp_inputs& teacher, const fsp_gradients& gradient,
                           const relational_options& options) {
  if (!std::isfinite(options.weight)) throw_parameter("fsp", "weight", "finite", text_of(options.weight));
  if (positions == 0) throw_parameter("fsp", "positions", "> 0", "0");
  if (teacher_positions == 0) throw_parameter("fsp", "teacher_positions", "> 0", "0");
  if (student.first.rows == 0) throw shape_error("fsp: student.first has 0 rows");
  if (student.first.rows % positions != 0)
    throw shape_error("fsp: student.first has " + std::to_string(student.first.rows) +
                      " rows, must be a multiple of positions " + std::to_string(positions));
  const fsp_shape shape{student.first.rows / positions, positions, teacher_positions, student.first.columns,
                        student.second.columns};
  check_fsp_map(student.first, "student.first", shape.samples * positions, shape.first);
  check_fsp_map(student.second, "student.second", shape.samples * positions, shape.second);
  check_fsp_map(teacher.first, "teacher.first", shape.samples * teacher_positions, shape.first);
  check_fsp_map(teacher.second, "teacher.second", shape.samples * teacher_positions, shape.second);
  if (!options.row_mask.empty() && options.row_mask.size() != shape.samples)
    throw shape_error("fsp: row_mask has " + std::to_string(options.row_mask.size()) +
                      " entries, student has " + std::to_string(shape.samples) + " samples");
  const bool value_only = gradient.first.data == nullptr && gradient.first.rows == 0 &&
                          gradient.second.data == nullptr && gradient.second.rows == 0;
  if (value_only) return shape;
  check_fsp_gradient(gradient.first, "gradient.first", student.first, "student.first");
  check_fsp_gradient(gradient.second, "gradient.second", student.second, "student.second");
  check_fsp_overlaps(gradient.first, "gradient.first", student, teacher, options);
  check_fsp_overlaps(gradient.second, "gradient.second", student, teacher, options);
  if (intersect(bytes_of(gradient.first), bytes_of(gradient.second)) &&
      !side_by_side(as_input(gradient.first), gradient.second))
    throw layout_error("fsp: gradient.second overlaps gradient.first");
  return shape;
}

}  // namespace distill::inline DISTILL_ABI::detail
