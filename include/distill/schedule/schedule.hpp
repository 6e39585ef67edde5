#pragma once

#include <array>
#include <distill/schedule/clamped.hpp>
#include <distill/schedule/constant_schedule.hpp>
#include <distill/schedule/cosine_restarts_schedule.hpp>
#include <distill/schedule/cosine_schedule.hpp>
#include <distill/schedule/exponential_schedule.hpp>
#include <distill/schedule/linear_schedule.hpp>
#include <distill/schedule/piecewise_schedule.hpp>
#include <distill/schedule/polynomial_schedule.hpp>
#include <distill/schedule/temperature_ramp.hpp>
#include <distill/schedule/warm_up.hpp>
#include <span>
#include <string>
#include <variant>

namespace distill::inline DISTILL_ABI {

/// What is put around a schedule: warm_up or clamped, by its numbers.
struct schedule_wrapper {
  enum class kind { warm_up, clamped };

  kind what = kind::warm_up;
  std::int64_t steps = 1;    // warm_up
  double from = 0;           // warm_up
  double low = 0, high = 0;  // clamped
  bool operator==(const schedule_wrapper&) const = default;
};

/// Any schedule of this library, as one type: for a temperature, a learning rate, the weight of a loss.
///
/// One of the schedules below with at most four warm_up and clamped around it, nested in any order.
/// Trivially copyable, comparable, at most 512 bytes, never on the heap. A number converts to the schedule
/// that is constant.
/// Value: that of the schedule it was made from, the same bits.
/// Throws: parameter_error, when made, for a parameter outside its range or a fifth wrapper; for a negative
/// step.
class schedule {
 public:
  using kinds = std::variant<constant_schedule, linear_schedule, cosine_schedule, cosine_restarts_schedule,
                             exponential_schedule, polynomial_schedule, piecewise_schedule, temperature_ramp>;
  static constexpr std::size_t wrapper_capacity = 4;

  schedule(double value = 1) : schedule(constant_schedule{value}) {}
  template <class S>
  requires std::constructible_from<kinds, const S&> && requires { S::parameters(); }
  schedule(const S& one) : kind_(one) { detail::require_valid(one, 0); }
  template <class S>
  schedule(const warm_up<S>& one) : schedule(one.then) {
    detail::require_valid(one, 0);
    wrap({.what = schedule_wrapper::kind::warm_up, .steps = one.steps, .from = one.from});
  }
  template <class S>
  schedule(const clamped<S>& one) : schedule(one.of) {
    one(0);
    wrap({.what = schedule_wrapper::kind::clamped, .low = one.low, .high = one.high});
  }

  double operator()(std::int64_t step) const { return evaluate(wrapper_count_, step); }

  /// The least and the greatest value over all steps; an end that is only approached counts.
  value_bounds bounds() const {
    value_bounds all = std::visit([](const auto& one) { return one.bounds(); }, kind_);
    for (std::size_t i = 0; i < wrapper_count_; ++i) {
      const schedule_wrapper& w = wrappers_[i];
      if (w.what == schedule_wrapper::kind::clamped)
        all = {std::clamp(all.low, w.low, w.high), std::clamp(all.high, w.low, w.high)};
      else
        all = {std::min(all.low, w.from), std::max(all.high, w.from)};
    }
    return all;
  }

  /// The innermost schedule, and what is around it, from the inside out.
  const kinds& innermost() const { return kind_; }
  std::span<const schedule_wrapper> wrappers() const { return {wrappers_.data(), wrapper_count_}; }
  bool operator==(const schedule&) const = default;

 private:
  void wrap(const schedule_wrapper& wrapper) {
    if (wrapper_count_ == wrapper_capacity)
      throw parameter_error("schedule: holds at most 4 warm_up and clamped around each other");
    wrappers_[wrapper_count_++] = wrapper;
  }

  double evaluate(std::size_t level, std::int64_t step) const {
    if (level == 0) return std::visit([step](const auto& one) { return one(step); }, kind_);
    const schedule_wrapper& w = wrappers_[level - 1];
    const auto inner = [this, level](std::int64_t s) { return evaluate(level - 1, s); };
    if (w.what == schedule_wrapper::kind::clamped)
      return clamped<decltype(inner)>{inner, w.low, w.high}(step);
    return warm_up<decltype(inner)>{inner, w.steps, w.from}(step);
  }

  kinds kind_;
  std::array<schedule_wrapper, wrapper_capacity> wrappers_ = {};
  std::size_t wrapper_count_ = 0;
};

/// The schedule as it would be written: `warm_up{.then = constant_schedule{.value = 1}, .steps = 100, .from =
/// 0}`.
std::string to_string(const schedule& one);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/schedule/schedule-inl.hpp>
#endif
