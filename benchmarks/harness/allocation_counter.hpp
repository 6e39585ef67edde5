#pragma once

#include <cstddef>

namespace benchmarks {

/// Counts the heap of the whole process (malloc and relatives, so operator new and every third party too)
/// for as long as it lives. One at a time.
class allocation_counter {
 public:
  allocation_counter();
  ~allocation_counter();
  allocation_counter(const allocation_counter&) = delete;
  allocation_counter& operator=(const allocation_counter&) = delete;

  std::ptrdiff_t live_bytes() const;
  /// The most bytes live at once since construction or reset_peak().
  std::ptrdiff_t peak_bytes() const;
  void reset_peak();
};

}  // namespace benchmarks
