#include "line_chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text.hpp"

namespace fashion_mnist {
namespace {

constexpr double width_of_chart = 360;
constexpr double height_of_chart = 250;
constexpr double left = 44, right = 10, top = 12, bottom = 40;

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
    for (double value : curve.low) values.include(value);
    for (double value : curve.high) values.include(value);
  }
  for (const reference_line& line : chart.references) values.include(line.value);
  return values;
}

/// The smallest of 1, 2, 5, 10, 20, ... (times a power of ten) that divides an extent into at most `parts`.
double round_step(double extent, int parts) {
  const double power = std::pow(10, std::floor(std::log10(extent / parts)));
  for (double factor : {1, 2, 5}) {
    if (extent / (factor * power) <= parts) return factor * power;
  }
  return 10 * power;
}

/// From epochs and values to the coordinates of the drawing.
class plane {
 public:
  plane(std::size_t epoch_count, range values) : epochs_(static_cast<double>(epoch_count)), values_(values) {}

  double x(double epoch) const {
    return left + (epoch - 1) / std::max(1.0, epochs_ - 1) * (width_of_chart - left - right);
  }
  double y(double value) const {
    return top + (values_.high - value) / (values_.high - values_.low) * (height_of_chart - top - bottom);
  }
  std::string point(std::size_t position, double value) const {
    return fixed(x(static_cast<double>(position) + 1), 1) + "," + fixed(y(value), 1) + " ";
  }

 private:
  double epochs_;
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

std::string epoch_axis(const plane& plane, std::size_t epoch_count) {
  std::string elements;
  const double step = std::max(1.0, round_step(static_cast<double>(epoch_count), 6));
  for (double epoch = step; epoch <= static_cast<double>(epoch_count); epoch += step) {
    elements += text_element(plane.x(epoch), height_of_chart - bottom + 17, "middle", fixed(epoch, 0));
  }
  return elements + text_element((left + width_of_chart - right) / 2, height_of_chart - 6, "middle", "epoch");
}

std::string curve_elements(const plane& plane, const curve& curve) {
  std::string outline;
  std::string line;
  for (std::size_t i = 0; i < curve.high.size(); ++i) outline += plane.point(i, curve.high[i]);
  for (std::size_t i = curve.low.size(); i-- > 0;) outline += plane.point(i, curve.low[i]);
  for (std::size_t i = 0; i < curve.middle.size(); ++i) line += plane.point(i, curve.middle[i]);
  return "<polygon class='band " + curve.style + "' points='" + outline + "'/><polyline class='curve " +
         curve.style + "' points='" + line + "'/>";
}

std::string reference_elements(const plane& plane, const reference_line& line) {
  return horizontal_line("reference", plane.y(line.value)) +
         text_element(width_of_chart - right - 2, plane.y(line.value) + 15, "end", line.name);
}

}  // namespace

std::string svg(const line_chart& chart) {
  range values = values_of(chart);
  const double step = round_step(std::max(values.high - values.low, 1e-6), 5);
  values = {std::floor(values.low / step) * step, std::ceil(values.high / step) * step};
  const std::size_t epoch_count = chart.curves.front().middle.size();
  const plane plane(epoch_count, values);
  std::string elements = value_axis(plane, values, step) + epoch_axis(plane, epoch_count);
  for (const reference_line& line : chart.references) elements += reference_elements(plane, line);
  for (const curve& curve : chart.curves) elements += curve_elements(plane, curve);
  return "<svg viewBox='0 0 " + fixed(width_of_chart, 0) + " " + fixed(height_of_chart, 0) +
         "' role='img' aria-label='" + chart.title + "'>" + elements + "</svg>";
}

}  // namespace fashion_mnist
