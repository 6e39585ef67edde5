// What the functions on teachers check of the memory they are given, before anything is written.
#pragma once

#include <cmath>
#include <cstdint>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/loss/label_check-inl.hpp>
#include <distill/view/require_memory-inl.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void require_input(std::string_view name, std::string_view what, const input_matrix& m) {
  for (const auto& [extent, unit] :
       {std::pair{m.rows, " has 0 rows"}, std::pair{m.columns, " has 0 classes"}})
    if (extent == 0) throw shape_error(std::string(name) + ": " + std::string(what) + unit);
  require_memory(name, what, m);
}

// A vector that is written, an entry for each row; an empty one is not.
template <class T>
void require_row_output(std::string_view name, std::string_view what, const vector_view<T>& output,
                        std::string_view input_name, const input_matrix& input) {
  if (output.empty()) return;
  require_extent(name, what, output.size(), "entries", input_name, input.rows);
  require_output(name, what, output);
  require_apart(name, {{what, bytes_of(output)}}, {{input_name, bytes_of(input)}});
}

// A vector that must be there.
template <class T>
void require_written(std::string_view name, std::string_view what, const vector_view<T>& output,
                     std::string_view input_name, const input_matrix& input) {
  if (output.empty()) require_extent(name, what, 0, "entries", input_name, input.rows);
  require_row_output(name, what, output, input_name, input);
}

inline void require_row_weights(std::string_view name, std::string_view reference,
                                const vector_view<const float>& weights, std::size_t rows) {
  if (weights.empty()) return;
  require_extent(name, "row_weights", weights.size(), "entries", reference, rows);
  for (std::size_t row = 0; row < rows; ++row)
    if (!std::isfinite(weights[row]))
      throw_parameter(name, "row_weights[" + std::to_string(row) + "]", "finite",
                      text_of(static_cast<double>(weights[row])));
}

inline void require_labels(std::string_view name, const label_view& labels, std::int64_t ignore_index,
                           const vector_view<const float>& weights, std::string_view reference,
                           std::size_t rows, std::size_t classes) {
  require_extent(name, "labels", labels.size(), "entries", reference, rows);
  require_labels_of_classes(name, labels, ignore_index, weights, classes);
}

}  // namespace distill::inline DISTILL_ABI::detail
