#include "progress.hpp"

#include <unistd.h>

#include <iostream>

#include "text.hpp"

namespace report {

progress::progress(std::string stage, int step_count, int steps_before)
    : stage_(std::move(stage)),
      step_count_(step_count),
      steps_before_(steps_before),
      terminal_(isatty(STDOUT_FILENO) == 1) {}

void progress::advance(const std::string& detail) {
  constexpr auto print_interval = std::chrono::seconds(5);
  const std::lock_guard lock(mutex_);
  const auto now = clock::now();
  const bool last = ++steps_ == step_count_;
  if (!terminal_ && !last && now - last_print_ < print_interval) return;
  last_print_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double left = elapsed / (steps_ - steps_before_) * (step_count_ - steps_);
  const std::string line = stage_ + ": epoch " + std::to_string(steps_) + " of " +
                           std::to_string(step_count_) + ", " + detail + ", " +
                           (last ? "done in " + minutes(elapsed) : minutes(left) + " left");
  // \033[K clears what a longer line before left behind.
  std::cout << (terminal_ ? "\r" : "") << line << (terminal_ ? "\033[K" : "")
            << (terminal_ && !last ? "" : "\n") << std::flush;
}

}  // namespace report
