#pragma once

#include <string>
#include <vector>

namespace report {

/// A curve at evenly spaced places from one end of the axis to the other, with a band around it or without.
struct curve {
  std::string style;  // the CSS class that colours it
  std::vector<double> middle;
  std::vector<double> low = {};
  std::vector<double> high = {};
};

/// What the curves run over: epochs 1 to 20, steps 0 to 8579.
struct chart_axis {
  std::string name;
  double first;
  double last;
};

/// A vertical line with a name above it.
struct vertical_mark {
  std::string name;
  double place;
};

/// A horizontal line with a name.
struct reference_line {
  std::string name;
  double value;
};

struct line_chart {
  std::string title;  // read out by screen readers
  chart_axis axis;
  std::vector<curve> curves;
  std::vector<reference_line> references = {};
  std::vector<vertical_mark> marks = {};
};

/// The chart as an inline SVG element; its colours come from the page's style sheet.
std::string svg(const line_chart& chart);

}  // namespace report
