#include "harness/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace benchmarks {
namespace {

/// NaN if there is one anywhere.
template <class Element>
double largest_difference(const problem<Element>& task, const expected_answer& expected, bool one_per_row) {
  const shape& extent = task.extent;
  double largest = 0;
  for (std::size_t k = 0; k < expected.output.size(); ++k) {
    const std::size_t i = k / extent.columns;
    const std::size_t j = k % extent.columns;
    const std::size_t at = one_per_row ? k : i * extent.row_stride() + j * extent.column_stride();
    const double difference = std::abs(to_float(task.output[at]) - expected.output[k]);
    if (std::isnan(difference)) return difference;
    largest = std::max(largest, difference);
  }
  return largest;
}

void require(const measured_error& error, const error_bounds& bounds, const std::string& name) {
  if (error.value <= bounds.value && error.output <= bounds.output) return;
  std::ostringstream message;
  message << name << ": the value is off by " << error.value << " (allowed " << bounds.value
          << "), the output by " << error.output << " (allowed " << bounds.output << ")";
  throw std::runtime_error(message.str());
}

}  // namespace

template <class Element>
const expected_answer& answer_sheet<Element>::answer_to(const oracle_rule& rule) {
  const auto known = answers_.find(rule.name);
  if (known != answers_.end()) return known->second;
  constexpr std::size_t enough_without_value = std::size_t{1} << 20U;
  const std::size_t rows =
      rule.has_value ? task_.extent.rows : first_rows(task_.extent, enough_without_value).rows;
  return answers_.emplace(rule.name, solve(rule, task_, rows)).first->second;
}

template <class Element>
measured_error answer_sheet<Element>::compare(const std::string& name, const contender& subject,
                                              const error_bounds& bounds) {
  const oracle_rule& rule = subject.computes;
  if (rule.is_empty()) return {};
  const expected_answer& expected = answer_to(rule);
  std::fill(task_.output.begin(), task_.output.end(), from_float<Element>(0));
  const double value = subject.call();
  if (subject.publish) subject.publish();
  measured_error error;
  if (rule.has_value) error.value = std::abs(value - expected.value) / std::abs(expected.value);
  if (rule.has_output) {
    error.output = largest_difference(task_, expected, rule.one_output_per_row) / expected.largest_output;
  }
  require(error, bounds, name);
  return error;
}

template class answer_sheet<float>;
template class answer_sheet<bfloat16_bits>;

}  // namespace benchmarks
