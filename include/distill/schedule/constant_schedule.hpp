#pragma once

#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI {

/// The same value at every step.
///
/// Throws: parameter_error for a value that is not finite or a negative step.
struct constant_schedule {
  double value = 1;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    return value;
  }
  value_bounds bounds() const { return {value, value}; }
  bool operator==(const constant_schedule&) const = default;

  static constexpr const char* name = "constant_schedule";
  static constexpr auto parameters() {
    return std::tuple(parameter{"value", &constant_schedule::value, value_range::any, true});
  }
};

}  // namespace distill::inline DISTILL_ABI
