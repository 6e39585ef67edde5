#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <distill/schedule/parameter.hpp>
#include <initializer_list>

namespace distill::inline DISTILL_ABI {

/// From this step on, this value.
struct schedule_point {
  std::int64_t step = 0;
  double value = 0;
  bool operator==(const schedule_point&) const = default;
};

/// At most 16 points, in place. Throws parameter_error for a seventeenth.
class schedule_points {
 public:
  static constexpr std::size_t capacity = 16;

  schedule_points() = default;
  schedule_points(std::initializer_list<schedule_point> points) {
    for (const schedule_point& point : points) push_back(point);
  }
  void push_back(const schedule_point& point) {
    if (size_ == capacity) throw parameter_error("schedule_points: holds at most 16 points");
    points_[size_++] = point;
  }
  std::size_t size() const { return size_; }
  const schedule_point& operator[](std::size_t i) const { return points_[i]; }
  const schedule_point* begin() const { return points_.data(); }
  const schedule_point* end() const { return points_.data() + size_; }
  bool operator==(const schedule_points&) const = default;

 private:
  std::array<schedule_point, capacity> points_ = {};
  std::size_t size_ = 0;
};

/// Values at given steps, held or joined by straight lines.
///
/// Value at step s, k the last point with step_k <= s: value_k; with `interpolates`, value_k + (value_k+1 -
/// value_k) (s - step_k) / (step_k+1 - step_k).
/// Boundaries: a point's own step has exactly its value; before the first point, the first value; after the
/// last, the last.
/// Options: `points`, 1 to 16, steps >= 0 and increasing, values finite; `interpolates`.
/// Throws: parameter_error for a parameter outside its range or a negative step.
struct piecewise_schedule {
  schedule_points points = {};
  bool interpolates = false;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    const auto next =
        std::upper_bound(points.begin(), points.end(), step,
                         [](std::int64_t s, const schedule_point& point) { return s < point.step; });
    if (next == points.begin()) return next->value;
    const schedule_point& last = next[-1];
    if (!interpolates || next == points.end()) return last.value;
    return std::lerp(last.value, next->value,
                     static_cast<double>(step - last.step) / static_cast<double>(next->step - last.step));
  }
  value_bounds bounds() const {
    value_bounds all{points[0].value, points[0].value};
    for (const schedule_point& point : points)
      all = {std::min(all.low, point.value), std::max(all.high, point.value)};
    return all;
  }
  bool operator==(const piecewise_schedule&) const = default;

  static constexpr const char* name = "piecewise_schedule";
  static constexpr auto parameters() {
    using self = piecewise_schedule;
    return std::tuple(parameter{"points", &self::points, value_range::any, true},
                      parameter{"interpolates", &self::interpolates});
  }
  /// What concerns more than one number.
  template <class Report>
  void check_together(Report&& report) const {
    if (points.size() == 0) report("points", "1 to 16 points", 0.0);
    std::int64_t previous = -1;
    for (const schedule_point& point : points) {
      if (point.step <= previous)
        report("points", "at steps >= 0 that increase", static_cast<double>(point.step));
      if (!std::isfinite(point.value)) report("points", "at finite values", point.value);
      previous = point.step;
    }
  }
};

}  // namespace distill::inline DISTILL_ABI
