// Definitions of dispatch.hpp. Compiled once in src/, or included by dispatch.hpp in header-only mode.
#pragma once

#include <distill/dispatch.hpp>
#include <hwy/highway.h>

namespace distill::inline DISTILL_ABI {

#if defined(DISTILL_HEADER_ONLY)

inline std::string active_target() { return hwy::TargetName(HWY_STATIC_TARGET); }
inline std::vector<std::string> available_targets() { return {active_target()}; }
inline void force_target(std::string_view name) {
  if (!name.empty() && name != active_target())
    throw parameter_error("force_target: " + std::string(name) + " is not available: header-only mode has only " +
                          active_target());
}

#else

namespace detail {

void use_targets(std::int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// What this processor runs of what this build contains, whatever is forced now.
std::int64_t all_targets() {
  static const std::int64_t targets = [] {
    hwy::SetSupportedTargetsForTest(0);
    return hwy::SupportedTargets() & HWY_TARGETS;
  }();
  return targets;
}

std::int64_t target_named(std::string_view name) {
  for (std::int64_t rest = all_targets(); rest != 0; rest &= rest - 1)
    if (name == hwy::TargetName(rest & -rest)) return rest & -rest;
  return 0;
}

}  // namespace detail

std::vector<std::string> available_targets() {
  std::vector<std::string> names;
  for (std::int64_t rest = detail::all_targets(); rest != 0; rest &= rest - 1)
    names.emplace_back(hwy::TargetName(rest & -rest));
  return names;
}

std::string active_target() {
  const std::int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(supported & -supported);
}

void force_target(std::string_view name) {
  if (name.empty()) return detail::use_targets(0);
  const std::int64_t target = detail::target_named(name);
  if (target == 0) {
    std::string known;
    for (const std::string& available : available_targets()) known += " " + available;
    throw parameter_error("force_target: " + std::string(name) + " is not available; available:" + known);
  }
  detail::use_targets(target);
}

namespace {
// At load time, before any kernel can have been chosen.
[[maybe_unused]] const bool forced_by_environment = [] {
  const char* name = std::getenv("DISTILL_TARGET");
  const std::int64_t target = name == nullptr ? 0 : detail::target_named(name);
  if (target != 0) detail::use_targets(target);
  return target != 0;
}();
}  // namespace

#endif

}  // namespace distill::inline DISTILL_ABI
