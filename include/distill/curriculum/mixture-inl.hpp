// The counts of a mixture, and its draws.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/curriculum/counter_random.hpp>
#include <distill/curriculum/mixture.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <numeric>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline double sum_of_weights(const std::vector<double>& weights) {
  if (weights.empty()) throw parameter_error("mixture: has no weights");
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(std::isfinite(weights[i]) && weights[i] >= 0))
      throw_parameter("mixture", "weights[" + std::to_string(i) + "]", "finite and >= 0",
                      text_of(weights[i]));
    sum += weights[i];
  }
  if (!(sum > 0 && std::isfinite(sum)))
    throw_parameter("mixture", "the sum of weights", "finite and > 0", text_of(sum));
  return sum;
}

/// Whole numbers that sum to total, each less than 1 from total * weight / sum.
inline std::vector<std::int64_t> largest_remainder(const std::vector<double>& weights, std::int64_t total) {
  const double sum = sum_of_weights(weights);
  std::vector<std::int64_t> counts;
  std::vector<double> remainders;
  std::int64_t given = 0;
  for (const double weight : weights) {
    const double exact = static_cast<double>(total) * (weight / sum);
    counts.push_back(static_cast<std::int64_t>(exact));
    remainders.push_back(exact - std::floor(exact));
    given += counts.back();
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return remainders[a] > remainders[b]; });
  for (std::size_t i = 0; given < total; ++i, ++given) ++counts[order[i]];
  return counts;
}

}  // namespace detail

DISTILL_INLINE mixture::mixture(const std::vector<double>& weights, std::int64_t epoch, std::uint64_t seed)
    : seed_(seed) {
  if (epoch < 1 || epoch > std::int64_t{1} << 40)
    detail::throw_parameter("mixture", "epoch", "in [1, 2^40]", std::to_string(epoch));
  ends_ = detail::largest_remainder(weights, epoch);
  std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
}

DISTILL_INLINE mixture_draw mixture::operator()(std::int64_t draw) const {
  if (draw < 0) detail::throw_parameter("mixture", "draw", ">= 0", std::to_string(draw));
  const std::int64_t number = draw / epoch();
  const std::uint64_t key = detail::random_bits(seed_, static_cast<std::uint64_t>(number));
  const auto place = static_cast<std::int64_t>(
      detail::permuted(static_cast<std::uint64_t>(draw % epoch()), static_cast<std::uint64_t>(epoch()), key));
  const auto source =
      static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), place) - ends_.begin());
  const std::int64_t rank = place - (ends_[source] - count(source));
  return {source, number * count(source) + rank};
}

}  // namespace distill::inline DISTILL_ABI
