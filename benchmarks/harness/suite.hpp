#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <string>

#include "harness/comparison.hpp"
#include "peers/contender.hpp"

namespace benchmarks {

/// One shape of one task, and how its contenders are compared with the oracle before they are timed.
struct trial {
  std::string task;
  shape extent;
  data_set data = data_set::independent;                 ///< what is timed
  error_bounds bounds{0.02, 1e-3};                       ///< on `data`
  error_bounds near_equal_bounds{0.2, 0.05};             ///< on near-equal logits, compared in any case
  std::size_t checked_elements = std::size_t{1} << 18U;  ///< a larger problem is compared on fewer rows
};

inline constexpr std::size_t check_everything = std::numeric_limits<std::size_t>::max();

/// The contenders of one program, named "task/shape/contender/threads:N". Those left out by
/// --benchmark_filter are never bound, compared or timed.
class suite {
 public:
  /// With `list_only`, add() prints the names and does nothing else.
  explicit suite(bool list_only) : list_only_(list_only) {}

  /// Throws std::runtime_error naming a contender whose answer is wrong.
  template <class Element>
  void add(const trial& what, const peer_list<Element>& peers);

  bool lists_only() const { return list_only_; }

 private:
  bool list_only_;
};

/// The main function of a benchmark program: reads the flags of Google Benchmark, lets `fill` add and compare
/// the contenders, then times them interleaved. 1 if a contender was refused.
int run(int argc, char** argv, const std::function<void(suite&)>& fill);

}  // namespace benchmarks
