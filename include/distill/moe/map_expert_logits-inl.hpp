// Definitions of map_expert_logits.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/map_expert_logits.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <limits>
#include <vector>

namespace distill::inline DISTILL_ABI::detail {

// The teacher's experts in the order of the student's that take them over.
struct expert_groups {
  std::vector<std::size_t> members, begins;

  expert_groups(vector_view<const std::int32_t> map, std::size_t students) : begins(students + 1) {
    for (std::size_t j = 0; j < students; ++j) {
      for (std::size_t i = 0; i < map.size(); ++i)
        if (map[i] == static_cast<std::int32_t>(j)) members.push_back(i);
      begins[j + 1] = members.size();
    }
  }
};

// Each group is summed relative to its own maximum: it would underflow beside a much larger one.
template <class Teacher, class Output>
void map_expert_row(const Teacher& teacher, const expert_groups& groups, const Output& output,
                    double temperature, std::size_t t) {
  const double none = -std::numeric_limits<double>::infinity();
  double maximum = none, total = 0;
  bool is_bad = false;
  for (std::size_t i = 0; i < teacher.columns(); ++i) {
    const double z = as_double(teacher(t, i));
    is_bad = is_bad || std::isnan(z) || z == -none;
  }
  for (const std::size_t i : groups.members) maximum = std::max(maximum, as_double(teacher(t, i)));
  is_bad = is_bad || maximum == none;
  const auto log_share = [&](std::size_t j) {
    double largest = none, sum = 0;
    for (std::size_t m = groups.begins[j]; m < groups.begins[j + 1]; ++m)
      largest = std::max(largest, as_double(teacher(t, groups.members[m])));
    if (largest == none) return none;
    for (std::size_t m = groups.begins[j]; m < groups.begins[j + 1]; ++m)
      sum += std::exp((as_double(teacher(t, groups.members[m])) - largest) / temperature);
    return (largest - maximum) / temperature + std::log(sum);
  };
  for (std::size_t m = 0; m < groups.members.size() && !is_bad; ++m)
    total += std::exp((as_double(teacher(t, groups.members[m])) - maximum) / temperature);
  const double log_total = std::log(total);
  for (std::size_t j = 0; j < output.columns(); ++j)
    assign_double(output(t, j), is_bad ? std::nan("") : log_share(j) - log_total);
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
  const expert_groups groups(map, output.columns);
  const std::size_t grain = std::size_t{4096} / teacher.columns + 1;
  with_elements(teacher, [&](const auto& from) {
    with_elements(output, [&](const auto& to) {
      options.executor.for_each_block(from.rows(), grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) map_expert_row(from, groups, to, options.temperature, t);
      });
    });
  });
}

}  // namespace distill::inline DISTILL_ABI::detail
