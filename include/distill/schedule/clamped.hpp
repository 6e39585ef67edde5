#pragma once

#include <algorithm>
#include <distill/schedule/parameter.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI {

/// Another schedule, not below one value and not above another.
///
/// Value at step s: min(max(of(s), low), high).
/// Options: `of`, any schedule, held in place; `low` (not NaN), default no limit; `high` (not NaN, >= low),
/// default no limit.
/// Throws: parameter_error for limits that are NaN or out of order; what `of` throws.
template <step_function S>
struct clamped {
  S of = {};
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();

  double operator()(std::int64_t step) const {
    if (!(low <= high)) detail::throw_out_of_range(name, "high", ">= low", high);
    return std::min(std::max(static_cast<double>(of(step)), low), high);
  }
  bool operator==(const clamped&) const = default;

  static constexpr const char* name = "clamped";
};

}  // namespace distill::inline DISTILL_ABI
