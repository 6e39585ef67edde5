#include "oracle/oracle.hpp"

#include <algorithm>
#include <cmath>

namespace benchmarks {
namespace {

template <class Element>
void load_row(const aligned_vector<Element>& matrix, const shape& extent, std::size_t row,
              std::span<long double> out) {
  for (std::size_t j = 0; j < extent.columns; ++j) {
    out[j] = to_float(matrix[row * extent.row_stride() + j * extent.column_stride()]);
  }
}

void append(std::span<const long double> row, long double divisor, expected_answer& answer) {
  for (const long double x : row) {
    const auto value = static_cast<double>(x / divisor);
    answer.output.push_back(value);
    answer.largest_output = std::max(answer.largest_output, std::abs(value));
  }
}

template <class Element>
expected_answer solve_batch(const oracle_rule& rule, const problem<Element>& task) {
  const std::size_t columns = task.extent.columns, elements = task.extent.elements();
  std::vector<long double> student(elements), teacher(elements), output(elements);
  for (std::size_t i = 0; i < task.extent.rows; ++i) {
    load_row(task.student, task.extent, i, std::span(student).subspan(i * columns, columns));
    load_row(task.teacher, task.extent, i, std::span(teacher).subspan(i * columns, columns));
  }
  expected_answer answer;
  answer.value = static_cast<double>(rule.batch({task.extent, student, teacher}, output));
  append(output, 1, answer);
  return answer;
}

}  // namespace

template <class Element>
expected_answer solve(const oracle_rule& rule, const problem<Element>& task, std::size_t rows) {
  if (rule.batch) return solve_batch(rule, task);
  const std::size_t columns = task.extent.columns;
  const std::size_t outputs = !rule.has_output ? 0 : rule.one_output_per_row ? 1 : columns;
  std::vector<long double> student(columns), teacher(columns), output(columns);
  expected_answer answer;
  answer.output.reserve(rows * outputs);
  const long double divisor = rule.mean_over_rows ? static_cast<long double>(task.extent.rows) : 1.0L;
  long double sum = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    load_row(task.student, task.extent, i, student);
    load_row(task.teacher, task.extent, i, teacher);
    sum += rule.row({student, teacher, static_cast<std::size_t>(task.labels[i])}, output);
    append(std::span(output).first(outputs), divisor, answer);
  }
  answer.value = static_cast<double>(sum / divisor);
  return answer;
}

template expected_answer solve(const oracle_rule&, const problem<float>&, std::size_t);
template expected_answer solve(const oracle_rule&, const problem<bfloat16_bits>&, std::size_t);

}  // namespace benchmarks
