#pragma once

#include <string>
#include <vector>

namespace fashion_mnist {

/// A curve over epochs 1, 2, ... with a band around it.
struct curve {
  std::string style;  // the CSS class that colours it
  std::vector<double> middle;
  std::vector<double> low;
  std::vector<double> high;
};

/// A horizontal line with a name.
struct reference_line {
  std::string name;
  double value;
};

struct line_chart {
  std::string title;  // read out by screen readers
  std::vector<curve> curves;
  std::vector<reference_line> references;
};

/// The chart as an inline SVG element; its colours come from the page's style sheet.
std::string svg(const line_chart& chart);

}  // namespace fashion_mnist
