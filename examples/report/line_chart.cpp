#include "line_chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "text.hpp"

namespace report {
namespace {

constexpr double width_of_chart = 360;
constexpr double height_of_chart = 250;
constexpr double left = 50, right = 10, top = 22, bottom = 40;

struct range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

range values_of(const line_chart& chart) {
  range values;
  for (const curve& curve : chart.curves) {
    for (const auto& line : {curve.low, curve.middle, curve.high}) {
      for (double value : line) values.include(value);
    }
  }
  for (const reference_line& line : chart.references) values.include(line.value);
  if (values.high > values.low) return values;
  const double margin = values.low == 0 ? 1 : std::abs(values.low) / 2;  // around what is constant
  return {values.low - margin, values.high + margin};
}

/// The smallest of 1, 2, 5, 10, 20, ... (times a power of ten) that divides an extent into at most `parts`.
double round_step(double extent, int parts) {
  const double power = std::pow(10, std::floor(std::log10(extent / parts)));
  for (double factor : {1, 2, 5}) {
    if (extent / (factor * power) <= parts) return factor * power;
  }
  return 10 * power;
}

/// From places and values to the coordinates of the drawing.
class plane {
 public:
  plane(const chart_axis& axis, range values) : axis_(axis), values_(values) {}

  double x(double place) const {
    return left +
           (place - axis_.first) / std::max(1.0, axis_.last - axis_.first) * (width_of_chart - left - right);
  }
  double y(double value) const {
    return top + (values_.high - value) / (values_.high - values_.low) * (height_of_chart - top - bottom);
  }
  /// "x,y " of each value.
  std::vector<std::string> points(const std::vector<double>& values) const {
    std::vector<std::string> result;
    const double last = std::max(1.0, static_cast<double>(values.size()) - 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double share = static_cast<double>(i) / last;
      result.push_back(fixed(x(std::lerp(axis_.first, axis_.last, share)), 1) + "," + fixed(y(values[i]), 1) +
                       " ");
    }
    return result;
  }

 private:
  chart_axis axis_;
  range values_;
};

std::string text_element(double x, double y, const std::string& anchor, const std::string& text) {
  return "<text x='" + fixed(x, 1) + "' y='" + fixed(y, 1) + "' text-anchor='" + anchor + "'>" + text +
         "</text>";
}

std::string horizontal_line(const std::string& style, double y) {
  return "<line class='" + style + "' x1='" + fixed(left, 1) + "' x2='" + fixed(width_of_chart - right, 1) +
         "' y1='" + fixed(y, 1) + "' y2='" + fixed(y, 1) + "'/>";
}

std::string value_axis(const plane& plane, range values, double step) {
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  std::string elements;
  for (double value = values.low; value < values.high + step / 2; value += step) {
    elements += horizontal_line("grid", plane.y(value)) +
                text_element(left - 7, plane.y(value) + 4, "end", fixed(value, decimals));
  }
  return elements;
}

std::string place_axis(const plane& plane, const chart_axis& axis) {
  std::string elements;
  const double step = std::max(1.0, round_step(std::max(1.0, axis.last - axis.first), 5));
  for (double place = std::ceil(axis.first / step) * step; place <= axis.last; place += step) {
    elements +=
        text_element(plane.x(place), height_of_chart - bottom + 17, "middle", grouped(std::lround(place)));
  }
  return elements +
         text_element((left + width_of_chart - right) / 2, height_of_chart - 6, "middle", axis.name);
}

std::string joined(const std::vector<std::string>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::string());
}

std::string curve_elements(const plane& plane, const curve& curve) {
  std::vector<std::string> outline = plane.points(curve.high);
  const std::vector<std::string> below = plane.points(curve.low);
  outline.insert(outline.end(), below.rbegin(), below.rend());
  const std::string band = "<polygon class='band " + curve.style + "' points='" + joined(outline) + "'/>";
  return (outline.empty() ? "" : band) + "<polyline class='curve " + curve.style + "' points='" +
         joined(plane.points(curve.middle)) + "'/>";
}

std::string reference_elements(const plane& plane, const reference_line& line) {
  return horizontal_line("reference", plane.y(line.value)) +
         text_element(width_of_chart - right - 2, plane.y(line.value) + 15, "end", line.name);
}

std::string mark_elements(const plane& plane, const vertical_mark& mark) {
  const std::string x = fixed(plane.x(mark.place), 1);
  return "<line class='mark' x1='" + x + "' x2='" + x + "' y1='" + fixed(top - 16, 1) + "' y2='" +
         fixed(height_of_chart - bottom, 1) + "'/>" +
         text_element(plane.x(mark.place) + 5, top - 7, "start", mark.name);
}

}  // namespace

std::string svg(const line_chart& chart) {
  range values = values_of(chart);
  const double step = round_step(values.high - values.low, 5);
  values = {std::floor(values.low / step) * step, std::ceil(values.high / step) * step};
  const plane plane(chart.axis, values);
  std::string elements = value_axis(plane, values, step) + place_axis(plane, chart.axis);
  for (const vertical_mark& mark : chart.marks) elements += mark_elements(plane, mark);
  for (const reference_line& line : chart.references) elements += reference_elements(plane, line);
  for (const curve& curve : chart.curves) elements += curve_elements(plane, curve);
  return "<svg viewBox='0 0 " + fixed(width_of_chart, 0) + " " + fixed(height_of_chart, 0) +
         "' role='img' aria-label='" + chart.title + "'>" + elements + "</svg>";
}

}  // namespace report
