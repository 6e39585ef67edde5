// Schedules as text.
#pragma once

#include <distill/error/parameter_text-inl.hpp>
#include <distill/schedule/schedule.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline std::string text_of(bool value) { return value ? "true" : "false"; }
inline std::string text_of(std::int64_t value) { return std::to_string(value); }
inline std::string text_of(const schedule_points& points) {
  std::string text = "{";
  for (const schedule_point& point : points)
    text += (text.size() == 1 ? "{" : ", {") + text_of(point.step) + ", " + text_of(point.value) + "}";
  return text + "}";
}

template <class S>
std::string text_of_schedule(const S& one) {
  std::string text = std::string(S::name) + "{";
  const char* separator = ".";
  const auto append = [&](const auto& p) {
    text += separator + std::string(p.name) + " = " + text_of(one.*p.member);
    separator = ", .";
  };
  std::apply([&](const auto&... p) { (append(p), ...); }, S::parameters());
  return text + "}";
}

}  // namespace detail

DISTILL_INLINE std::string to_string(const schedule& one) {
  std::string text =
      std::visit([](const auto& kind) { return detail::text_of_schedule(kind); }, one.innermost());
  for (const schedule_wrapper& w : one.wrappers())
    if (w.what == schedule_wrapper::kind::warm_up)
      text = "warm_up{.then = " + text + ", .steps = " + detail::text_of(w.steps) +
             ", .from = " + detail::text_of(w.from) + "}";
    else
      text = "clamped{.of = " + text + ", .low = " + detail::text_of(w.low) +
             ", .high = " + detail::text_of(w.high) + "}";
  return text;
}

}  // namespace distill::inline DISTILL_ABI
