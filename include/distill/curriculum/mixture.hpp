#pragma once

#include <cstdint>
#include <distill/error/error.hpp>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// Which source a sample comes from, and which of that source's samples it is.
struct mixture_draw {
  std::size_t source = 0;
  std::int64_t item = 0;
  bool operator==(const mixture_draw&) const = default;
};

/// Draws from several sources by weight: 85 %, 10 %, 5 %.
///
/// Draw d (>= 0) is a function of weights, epoch, seed and d alone. Each epoch of `epoch` draws takes
/// exactly `count(i)` samples from source i, in an order of its own; counts are epoch * weight_i / Σ
/// weight, rounded by largest remainder, ties to the lower index.
/// `item` numbers the samples of a source from 0 on, in a shuffled order within each epoch, each number
/// once: take it modulo the source's size.
/// State: the number of the next draw. Worker w of W takes the draws w, w + W, w + 2W, ...: whoever draws,
/// the same samples are drawn.
/// Options: weights (finite, >= 0, one > 0); `epoch` (in [1, 2^40]); `seed`.
/// Throws: parameter_error for an option outside its range or a negative draw.
/// Cost: O(log sources) and a few dozen multiplications a draw; allocates only when made.
class mixture {
 public:
  mixture(const std::vector<double>& weights, std::int64_t epoch, std::uint64_t seed = 0);

  mixture_draw operator()(std::int64_t draw) const;
  std::size_t sources() const { return ends_.size(); }
  std::int64_t epoch() const { return ends_.back(); }
  /// Of an epoch.
  std::int64_t count(std::size_t source) const {
    return ends_[source] - (source == 0 ? 0 : ends_[source - 1]);
  }
  bool operator==(const mixture&) const = default;

 private:
  std::vector<std::int64_t> ends_;  // running sums of the counts
  std::uint64_t seed_;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/curriculum/mixture-inl.hpp>
#endif
