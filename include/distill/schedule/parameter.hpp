#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <distill/error/error.hpp>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// The values a parameter may take. Every number is finite.
enum class value_range { any, positive, not_negative, at_least_one, zero_to_one, above_zero_to_one };

/// One parameter of an aggregate: its name, where it lies, the values it may take. A type lists its own in
/// `parameters()`; checks, messages, JSON and the published schema are all made from that list.
template <class Owner, class T>
struct parameter {
  const char* name;
  T Owner::*member;
  value_range range = value_range::any;
  bool is_required = false;  // in a file
};
template <class Owner, class T>
parameter(const char*, T Owner::*) -> parameter<Owner, T>;
template <class Owner, class T>
parameter(const char*, T Owner::*, value_range) -> parameter<Owner, T>;
template <class Owner, class T>
parameter(const char*, T Owner::*, value_range, bool) -> parameter<Owner, T>;

/// The least and the greatest value a schedule can take, over all steps.
struct value_bounds {
  double low, high;
  bool operator==(const value_bounds&) const = default;
};

/// Anything that gives a number for a step, 0-based: every schedule of this library, and a caller's own.
template <class S>
concept step_function = requires(const S& s, std::int64_t step) {
  { s(step) } -> std::convertible_to<double>;
};

namespace detail {

constexpr const char* text_of(value_range range) {
  switch (range) {
    case value_range::positive:
      return "> 0";
    case value_range::not_negative:
      return ">= 0";
    case value_range::at_least_one:
      return ">= 1";
    case value_range::zero_to_one:
      return "in [0, 1]";
    case value_range::above_zero_to_one:
      return "in (0, 1]";
    default:
      return "finite";
  }
}

inline bool is_within(double value, value_range range) {
  if (!std::isfinite(value)) return false;
  switch (range) {
    case value_range::positive:
      return value > 0;
    case value_range::not_negative:
      return value >= 0;
    case value_range::at_least_one:
      return value >= 1;
    case value_range::zero_to_one:
      return value >= 0 && value <= 1;
    case value_range::above_zero_to_one:
      return value > 0 && value <= 1;
    default:
      return true;
  }
}

[[noreturn]] void throw_out_of_range(std::string_view name, std::string_view what, std::string_view expected,
                                     double got);

/// Calls report(name, expected, got) for every number of `value` that is outside its range.
template <class T, class Report>
void check_ranges(const T& value, Report&& report) {
  const auto check = [&](const auto& p) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value.*p.member)>>) {
      const auto number = static_cast<double>(value.*p.member);
      if (!is_within(number, p.range))
        report(p.name, std::isfinite(number) ? text_of(p.range) : "finite", number);
    }
  };
  std::apply([&](const auto&... p) { (check(p), ...); }, T::parameters());
}

/// The checks before a schedule is evaluated.
template <class S>
void require_valid(const S& schedule, std::int64_t step) {
  const auto report = [](std::string_view what, std::string_view expected, double got) {
    throw_out_of_range(S::name, what, expected, got);
  };
  check_ranges(schedule, report);
  if constexpr (requires { schedule.check_together(report); }) schedule.check_together(report);
  if (step < 0) throw_out_of_range(S::name, "step", ">= 0", static_cast<double>(step));
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/schedule/parameter-inl.hpp>
#endif
