// Sums that do not lose what is small.
#pragma once

#include <cmath>
#include <cstddef>
#include <distill/version.hpp>

namespace distill::inline DISTILL_ABI::detail {

// What each addition loses is summed beside it (Knuth).
class compensated_sum {
 public:
  void add(double value) {
    const double next = sum_ + value, added = next - sum_;
    lost_ += (sum_ - (next - added)) + (value - added);
    sum_ = next;
  }
  void add(const compensated_sum& other) {
    add(other.sum_);
    lost_ += other.lost_;
  }
  // What was lost means nothing once the sum is not finite.
  double total() const { return std::isfinite(sum_) ? sum_ + lost_ : sum_; }

 private:
  double sum_ = 0, lost_ = 0;
};

// Σ value(i), as several sums that do not wait for each other.
template <class F>
double compensated_total(std::size_t count, F value) {
  constexpr std::size_t chains = 8;
  compensated_sum sums[chains];
  std::size_t i = 0;
  for (; i + chains <= count; i += chains)
    for (std::size_t chain = 0; chain < chains; ++chain) sums[chain].add(value(i + chain));
  for (; i < count; ++i) sums[i % chains].add(value(i));
  compensated_sum total;
  for (const compensated_sum& sum : sums) total.add(sum);
  return total.total();
}

}  // namespace distill::inline DISTILL_ABI::detail
