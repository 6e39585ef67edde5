// Rows that a kernel cannot finish in its own precision: in double, without SIMD, class by class.
#pragma once

#include <cmath>
#include <distill/teacher/row_statistics_job.hpp>
#include <distill/view/element_access-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// The largest logit; NaN where the row is no distribution.
inline double maximum_of(const input_matrix& m, std::size_t row) {
  double maximum = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < m.columns; ++c) {
    const double z = element_at(m, row, c);
    if (std::isnan(z)) return z;
    if (z > maximum) maximum = z;
  }
  return std::isfinite(maximum) ? maximum : not_a_number;
}

inline double largest_size_of(const input_matrix& m, std::size_t row, bool without_masked) {
  double largest = 0;
  for (std::size_t c = 0; c < m.columns; ++c) {
    const double z = element_at(m, row, c);
    if (without_masked && z == -std::numeric_limits<double>::infinity()) continue;
    if (!(std::abs(z) <= largest)) largest = std::abs(z);
    if (std::isnan(z)) return z;
  }
  return largest;
}

inline void resolve_spread(const row_statistics_job& job, std::size_t row, row_sums& sums) {
  const double scale = largest_size_of(job.logits, row, true);
  const double unit = scale > 0 ? scale : 1;
  double total = 0, square = 0, count = 0;
  const auto each = [&](auto f) {
    for (std::size_t c = 0; c < job.classes(); ++c) {
      const double z = element_at(job.logits, row, c);
      if (z != -std::numeric_limits<double>::infinity()) f(z / unit);
    }
  };
  each([&](double z) { total += z, ++count; });
  const double mean = total / count;
  each([&](double z) { square += (z - mean) * (z - mean); });
  sums.counted = count;
  sums.mean = mean * unit;
  sums.deviation = std::sqrt(square / count) * unit;
}

DISTILL_INLINE row_sums resolve_row_sums(const row_statistics_job& job, std::size_t row) {
  row_sums sums;
  sums.maximum = maximum_of(job.logits, row);
  if (std::isnan(sums.maximum)) {
    sums.at_maximum = sums.rest = sums.weighted = sums.mean = sums.deviation = sums.length = not_a_number;
    return sums;
  }
  sums.at_maximum = 0;
  for (std::size_t c = 0; c < job.classes(); ++c) {
    const double z = element_at(job.logits, row, c), x = (z - sums.maximum) / job.temperature;
    const double e = std::exp(x);
    if (z == sums.maximum)
      ++sums.at_maximum;
    else if (e > 0)
      sums.rest += e, sums.weighted -= e * x;
  }
  resolve_spread(job, row, sums);
  const double largest = largest_size_of(job.logits, row, false), unit = largest > 0 ? largest : 1;
  double square = 0;
  for (std::size_t c = 0; std::isfinite(unit) && c < job.classes(); ++c) {
    const double z = element_at(job.logits, row, c) / unit;
    square += z * z;
  }
  sums.length = std::isfinite(unit) ? std::sqrt(square) * unit : unit;
  return sums;
}

DISTILL_INLINE double resolve_divergence(const row_comparison_job& job, std::size_t row) {
  const double s_maximum = maximum_of(job.student, row), t_maximum = maximum_of(job.teacher, row);
  if (std::isnan(s_maximum + t_maximum)) return not_a_number;
  const auto exponent = [&](const input_matrix& m, double maximum, std::size_t c) {
    return (element_at(m, row, c) - maximum) / job.temperature;
  };
  double s_total = 0, t_total = 0, sum = 0;
  for (std::size_t c = 0; c < job.classes(); ++c) {
    s_total += std::exp(exponent(job.student, s_maximum, c));
    t_total += std::exp(exponent(job.teacher, t_maximum, c));
  }
  for (std::size_t c = 0; c < job.classes(); ++c) {
    const double log_p = exponent(job.teacher, t_maximum, c) - std::log(t_total);
    const double log_q = exponent(job.student, s_maximum, c) - std::log(s_total);
    const double p = std::exp(log_p), difference = log_p - log_q;
    sum += p > 0 ? p * (difference + std::expm1(-difference)) : std::exp(log_q);
  }
  return sum;
}

DISTILL_INLINE double resolve_cosine_distance(const row_comparison_job& job, std::size_t row) {
  const double masked = -std::numeric_limits<double>::infinity();
  double s_unit = 0, t_unit = 0, s_square = 0, t_square = 0, square = 0;
  const auto each = [&](auto f) {
    for (std::size_t c = 0; c < job.classes(); ++c) {
      const double s = element_at(job.student, row, c), t = element_at(job.teacher, row, c);
      if (s != masked && t != masked) f(s, t);
    }
  };
  const auto raise = [](double& unit, double x) {
    if (!(std::abs(x) <= unit)) unit = std::isnan(unit) ? unit : std::abs(x);
  };
  each([&](double s, double t) { raise(s_unit, s), raise(t_unit, t); });
  if (!std::isfinite(s_unit) || !std::isfinite(t_unit)) return not_a_number;
  if (s_unit == 0 || t_unit == 0) return s_unit == t_unit ? 0 : 1;
  each([&](double s, double t) {
    s_square += (s / s_unit) * (s / s_unit);
    t_square += (t / t_unit) * (t / t_unit);
  });
  const double s_length = std::sqrt(s_square), t_length = std::sqrt(t_square);
  each([&](double s, double t) {
    const double difference = s / s_unit / s_length - t / t_unit / t_length;
    square += difference * difference;
  });
  return square / 2;
}

}  // namespace distill::inline DISTILL_ABI::detail
