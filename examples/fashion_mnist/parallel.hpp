#pragma once

#include <atomic>
#include <future>

#include "matrix.hpp"

namespace fashion_mnist {

/// How many threads work on the teacher's products and on the students. Fixed, so that scores depend on the
/// seed and not on the machine's load.
inline constexpr int thread_count = 2;

/// Calls task(0) ... task(count - 1), each once, on thread_count threads; returns when all are done and
/// rethrows what a task threw.
template <class Task>
void run_in_parallel(index count, const Task& task) {
  std::atomic<index> next = 0;
  const auto work = [&] {
    for (index i = next++; i < count; i = next++) task(i);
  };
  std::future<void> other = std::async(std::launch::async, work);
  work();
  other.get();
}

/// result = left * right; a big product is cut into one block of rows per thread.
template <class Left, class Right, class Result>
void multiply(const Left& left, const Right& right, Result&& result) {
  constexpr index worth_a_thread = 20'000'000;
  if (left.rows() * left.cols() * right.cols() < worth_a_thread) {
    result.noalias() = left * right;
    return;
  }
  const index block = (left.rows() + thread_count - 1) / thread_count;
  run_in_parallel(thread_count, [&](index i) {
    const index rows = std::min(block, left.rows() - i * block);
    result.middleRows(i * block, rows).noalias() = left.middleRows(i * block, rows) * right;
  });
}

}  // namespace fashion_mnist
