// Definitions of map_expert_logits.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/map_expert_logits.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

// Sums relative to the row's own maximum, so that probabilities far below it keep their digits: the sums of a
// student expert would underflow beside a much larger one.
template <class Teacher, class Output>
void map_expert_row(const Teacher& teacher, vector_view<const std::int32_t> map, const Output& output,
                    double temperature, std::size_t t) {
  const double none = -std::numeric_limits<double>::infinity();
  double maximum = none, total = 0, poison = 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    const double z = as_double(teacher(t, i));
    if (std::isnan(z) || z == -none) poison = std::nan("");
    if (map[i] != no_expert && z > maximum) maximum = z;
  }
  if (maximum == none) poison = std::nan("");
  for (std::size_t i = 0; i < map.size() && poison == 0; ++i)
    if (map[i] != no_expert) total += std::exp((as_double(teacher(t, i)) - maximum) / temperature);
  const double log_total = std::log(total);
  for (std::size_t j = 0; j < output.columns(); ++j) {
    double largest = none, sum = 0;
    for (std::size_t i = 0; i < map.size(); ++i)
      if (map[i] == static_cast<std::int32_t>(j)) largest = std::max(largest, as_double(teacher(t, i)));
    for (std::size_t i = 0; i < map.size() && largest > none; ++i)
      if (map[i] == static_cast<std::int32_t>(j))
        sum += std::exp((as_double(teacher(t, i)) - largest) / temperature);
    const double value =
        largest > none ? (largest - maximum) / temperature + std::log(sum) - log_total : none;
    assign_double(output(t, j), poison == 0 ? value : poison);
  }
}

DISTILL_INLINE void map_expert_logits(const input_matrix& teacher, vector_view<const std::int32_t> map,
                                      const output_matrix& output, const map_expert_options& options) {
  const char* const name = "map_expert_logits";
  require_temperature(name, "temperature", options.temperature);
  require_scores(name, "teacher", teacher);
  require_vector(name, "map", map, "experts", "teacher", teacher.columns);
  if (output.columns == 0) throw shape_error(std::string(name) + ": output has 0 experts");
  require_extent(name, "output", output.rows, "tokens", "teacher", teacher.rows);
  input_matrix same_experts = teacher;
  same_experts.columns = output.columns;
  require_gradient(name, "output", output, "teacher", same_experts);
  if (teacher.rows > 0 && intersect(bytes_of(teacher), bytes_of(output)))
    throw layout_error(std::string(name) + ": output overlaps teacher");
  for (std::size_t i = 0; i < map.size(); ++i)
    if (map[i] != no_expert && (map[i] < 0 || static_cast<std::size_t>(map[i]) >= output.columns))
      throw data_error(std::string(name) + ": map[" + std::to_string(i) + "] is " + std::to_string(map[i]) +
                       ", must be in [0, " + std::to_string(output.columns) + ") or -1");
  const std::size_t grain = std::size_t{4096} / teacher.columns + 1;
  with_elements(teacher, [&](const auto& from) {
    with_elements(output, [&](const auto& to) {
      options.executor.for_each_block(from.rows(), grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) map_expert_row(from, map, to, options.temperature, t);
      });
    });
  });
}

}  // namespace distill::inline DISTILL_ABI::detail
