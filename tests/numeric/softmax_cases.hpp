// softmax and its relatives: the six functions as values, what each must answer in long double, and how far
// off it may be.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/dispatch.hpp>
#include <distill/numeric/log_softmax.hpp>
#include <distill/numeric/log_sum_exp.hpp>
#include <distill/numeric/softmax.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/larger_error.hpp"
#include "support/oracle.hpp"
#include "support/random_logits.hpp"
#include "support/tolerance.hpp"

namespace softmax_cases {

enum class operation {
  softmax,
  log_softmax,
  log_sum_exp,
  log_sum_exp_backward,
  softmax_backward,
  log_softmax_backward
};

inline constexpr operation all_operations[] = {operation::softmax,          operation::log_softmax,
                                               operation::log_sum_exp,      operation::log_sum_exp_backward,
                                               operation::softmax_backward, operation::log_softmax_backward};

inline const char* name_of(operation which) {
  constexpr const char* names[] = {"softmax",          "log_softmax",
                                   "log_sum_exp",      "log_sum_exp_backward",
                                   "softmax_backward", "log_softmax_backward"};
  return names[static_cast<int>(which)];
}
inline bool has_vector_output(operation which) { return which == operation::log_sum_exp; }
/// log_sum_exp has no 16-bit output.
template <class Output>
bool applies_to(operation which) {
  return sizeof(Output) >= 4 || !has_vector_output(which);
}
inline bool has_vector_upstream(operation which) { return which == operation::log_sum_exp_backward; }

template <class T>
distill::vector_view<T> first_column(const distill::matrix_view<T>& m) {
  return {m.data_handle(), m.rows(), m.stride(0)};
}

// Calls the function. Vectors are the first column of their matrix.
template <class Input, class Upstream, class Output>
void call(operation which, distill::matrix_view<Input> input, distill::matrix_view<Upstream> upstream,
          distill::matrix_view<Output> output, const distill::softmax_options& options = {}) {
  constexpr bool is_wide = sizeof(Output) >= 4, is_wide_upstream = sizeof(Upstream) >= 4;
  switch (which) {
    case operation::softmax:
      return distill::softmax(input, output, options);
    case operation::log_softmax:
      return distill::log_softmax(input, output, options);
    case operation::log_sum_exp:
      if constexpr (is_wide) return distill::log_sum_exp(input, first_column(output), options);
      return;
    case operation::log_sum_exp_backward:
      if constexpr (is_wide_upstream)
        return distill::log_sum_exp_backward(input, first_column(upstream), output, options);
      return;
    case operation::softmax_backward:
      return distill::softmax_backward(input, upstream, output, options);
    case operation::log_softmax_backward:
      return distill::log_softmax_backward(input, upstream, output, options);
  }
}

struct answer {
  oracle::matrix expected, bound;  // bound: the error allowed to each element, before the rounding of 16 bits
};

// The answer for one row, and the bounds that the headers state for float (unit 1e-7) and double (1e-15).
inline void answer_row(operation which, const oracle::matrix& input, const oracle::matrix& upstream,
                       std::size_t row, long double temperature, bool is_double, answer& out) {
  const long double unit = is_double ? 1e-15L : 1e-7L, tiny = is_double ? 0 : 1.2e-38L;
  const std::size_t classes = input.classes;
  const long double* z = &input.at(row, 0);
  const long double maximum = *std::max_element(z, z + classes);
  long double sum = 0, dot = 0, size = 0, largest = 0;
  for (std::size_t c = 0; c < classes; ++c) sum += std::exp((z[c] - maximum) / temperature);
  const long double log_sum = std::log(sum), value = maximum / temperature + log_sum;
  if (has_vector_output(which)) {
    out.expected.at(row, 0) = value;
    out.bound.at(row, 0) = 3 * unit * std::max({1.0L, std::abs(value), log_sum});
    return;
  }
  const bool matrix_upstream =
      which == operation::softmax_backward || which == operation::log_softmax_backward;
  for (std::size_t c = 0; matrix_upstream && c < classes; ++c) {
    const long double u = upstream.at(row, c);
    dot += which == operation::softmax_backward ? z[c] * u : u;
    size += std::abs(u), largest = std::max(largest, std::abs(u));
  }
  for (std::size_t c = 0; c < classes; ++c) {
    const long double gap = (maximum - z[c]) / temperature, p = std::exp(-gap) / sum;
    const long double p_bound = p > 0 ? p * (5 + 1.5L * gap) * unit + tiny : tiny;
    const long double u = has_vector_upstream(which) ? upstream.at(row, 0)
                          : matrix_upstream          ? upstream.at(row, c)
                                                     : 0;
    long double &expected = out.expected.at(row, c), &bound = out.bound.at(row, c);
    switch (which) {
      case operation::softmax:
        expected = p, bound = p_bound;
        break;
      case operation::log_softmax:
        expected = -gap - log_sum, bound = 5 * unit * std::max(1.0L, gap + log_sum);
        break;
      case operation::log_sum_exp_backward:
        expected = u * p / temperature, bound = std::abs(u) / temperature * (p_bound + p * unit);
        break;
      case operation::softmax_backward:
        expected = z[c] * (u - dot) / temperature, bound = 10 * unit * z[c] * largest / temperature;
        break;
      default: {
        const long double q = std::exp(z[c]);
        expected = (u - q * dot) / temperature;
        bound = 10 * unit * (std::abs(u) + (z[c] == z[c] - 1 ? 0 : (1 + std::abs(z[c])) * q) * size) /
                temperature;
      }
    }
  }
}

inline answer answer_of(operation which, const oracle::matrix& input, const oracle::matrix& upstream,
                        double temperature, bool is_double) {
  const std::size_t columns = has_vector_output(which) ? 1 : input.classes;
  answer result{{input.rows, columns}, {input.rows, columns}};
  for (std::size_t row = 0; row < input.rows; ++row)
    answer_row(which, input, upstream, row, static_cast<long double>(temperature), is_double, result);
  return result;
}

// The largest error, in units of what is allowed; infinite for NaN.
template <class Output>
double worst_of(const support::guarded_matrix<Output>& got, const answer& expected) {
  const double rounding = support::rounding_of(distill::element_traits<Output>::type);
  long double worst = 0;
  for (std::size_t i = 0; i < expected.expected.values.size(); ++i) {
    const long double value = got.at(i / got.classes(), i % got.classes()),
                      right = expected.expected.values[i];
    if (value == right) continue;
    const long double smallest = sizeof(Output) == 2 ? 3e-8L : 0;  // below float16's smallest normal number
    const long double bound =
        expected.bound.values[i] + static_cast<long double>(rounding) * std::abs(right) + smallest;
    const long double error = std::abs(value - right) / bound;
    worst = support::larger_error(worst, error);
  }
  return static_cast<double>(worst);
}

// Inputs that a backward function may get: what its forward function returns.
inline std::vector<double> input_values(operation which, std::size_t rows, std::size_t classes,
                                        std::uint64_t seed, double deviation = 3) {
  std::vector<double> values = support::independent_logits(rows, classes, seed, deviation).student;
  if (which != operation::softmax_backward && which != operation::log_softmax_backward) return values;
  for (std::size_t row = 0; row < rows; ++row) {
    double* z = values.data() + row * classes;
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c) sum += std::exp(z[c]);
    for (std::size_t c = 0; c < classes; ++c)
      z[c] = which == operation::softmax_backward ? std::exp(z[c]) / sum : z[c] - std::log(sum);
  }
  return values;
}

using support::on_every_target;

}  // namespace softmax_cases
