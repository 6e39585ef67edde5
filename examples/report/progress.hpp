#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace report {

/// One line per stage of the run with the time left of it; `steps_before` were done by an earlier run. On a
/// terminal the line is rewritten in place, elsewhere a new one is printed every few seconds. May be advanced
/// by several threads.
class progress {
 public:
  progress(std::string stage, int step_count, int steps_before);

  /// One more step is done; `detail` says how it went.
  void advance(const std::string& detail);

 private:
  using clock = std::chrono::steady_clock;

  std::string stage_;
  int step_count_;
  int steps_before_;
  int steps_ = steps_before_;
  bool terminal_;
  clock::time_point start_ = clock::now();
  clock::time_point last_print_ = start_;
  std::mutex mutex_;
};

}  // namespace report
