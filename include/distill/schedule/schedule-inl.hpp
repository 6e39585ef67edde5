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
  for (const schedule_point& point : points) {
    text.append(text.size() == 1 ? "{" : ", {");
    text.append(text_of(point.step)).append(", ").append(text_of(point.value)).append("}");
  }
  return text.append("}");
}

template <class S>
std::string text_of_schedule(const S& one) {
  std::string text = S::name;
  const char* separator = "{.";
  const auto append = [&](const auto& p) {
    text.append(separator).append(p.name).append(" = ").append(text_of(one.*p.member));
    separator = ", .";
  };
  std::apply([&](const auto&... p) { (append(p), ...); }, S::parameters());
  return text.append("}");
}

}  // namespace detail

DISTILL_INLINE std::string to_string(const schedule& one) {
  std::string text =
      std::visit([](const auto& kind) { return detail::text_of_schedule(kind); }, one.innermost());
  for (const schedule_wrapper& w : one.wrappers()) {
    const bool is_warm_up = w.what == schedule_wrapper::kind::warm_up;
    text.insert(0, is_warm_up ? "warm_up{.then = " : "clamped{.of = ");
    text.append(is_warm_up ? ", .steps = " : ", .low = ");
    text.append(is_warm_up ? detail::text_of(w.steps) : detail::text_of(w.low));
    text.append(is_warm_up ? ", .from = " : ", .high = ");
    text.append(detail::text_of(is_warm_up ? w.from : w.high)).append("}");
  }
  return text;
}

}  // namespace distill::inline DISTILL_ABI
