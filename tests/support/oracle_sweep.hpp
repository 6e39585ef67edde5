// A loss against the oracle over shapes, element types and layouts. Each function makes Catch assertions.
#pragma once

#include <functional>

#include "support/loss_cases.hpp"

namespace support {

/// Makes the loss for a batch of a shape; labels depend on it.
using case_maker = std::function<loss_case(std::size_t rows, std::size_t classes)>;

template <class L>
case_maker maker_of(const L& loss) {
  return [loss](std::size_t, std::size_t) { return case_of(loss); };
}

/// float: 1 to 50257 classes, 1 to 37 rows.
void check_shapes(const case_maker& make);
/// double, to its own precision.
void check_double(const case_maker& make);
/// Every pair of element types, and both gradient types of a 16-bit student.
void check_element_types(const case_maker& make);
/// Every pair of layouts, few and many classes.
void check_layouts(const case_maker& make);
/// Student = teacher + N(0, 0.05²), to 128256 classes.
void check_near_equal(const case_maker& make);
/// All of the above.
void check_against_oracle(const case_maker& make);

}  // namespace support
