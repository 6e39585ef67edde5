#pragma once

#include <cmath>
#include <limits>

namespace support {

/// Of two errors. One that is no number is infinitely large, which std::max would forget.
template <class Real>
Real larger_error(Real worst, Real error) {
  return error <= worst ? worst : std::isnan(error) ? std::numeric_limits<Real>::infinity() : error;
}

}  // namespace support
