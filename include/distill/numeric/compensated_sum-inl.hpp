// A sum that does not lose what is small (Neumaier).
#pragma once

#include <cmath>
#include <distill/version.hpp>

namespace distill::inline DISTILL_ABI::detail {

class compensated_sum {
 public:
  void add(double value) {
    const double next = sum_ + value;
    if (std::isfinite(next))
      lost_ += std::abs(sum_) >= std::abs(value) ? (sum_ - next) + value : (value - next) + sum_;
    sum_ = next;
  }
  double total() const { return sum_ + lost_; }

 private:
  double sum_ = 0, lost_ = 0;
};

}  // namespace distill::inline DISTILL_ABI::detail
