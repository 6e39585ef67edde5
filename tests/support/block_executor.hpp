#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <distill/execution/executor.hpp>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace support {

/// Threads of its own and blocks of uneven lengths, in an order that is not the rows'. Counts its calls.
class block_executor {
 public:
  block_executor(std::size_t workers, std::size_t block) : workers_(workers), block_(block) {}

  std::size_t concurrency() const { return workers_; }
  std::size_t calls() const { return calls_; }

  void for_each_block(std::size_t count, std::size_t /*grain*/, distill::block_function f) {
    ++calls_;
    std::vector<std::pair<std::size_t, std::size_t>> blocks;
    for (std::size_t begin = 0, length = block_; begin < count;
         begin += length, length = length % 7 + block_) {
      length = std::min(length, count - begin);
      blocks.emplace_back(begin, begin + length);
    }
    std::reverse(blocks.begin(), blocks.end());
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex failing;
    const auto work = [&] {
      for (std::size_t i; (i = next.fetch_add(1)) < blocks.size();) {
        try {
          f(blocks[i].first, blocks[i].second);
        } catch (...) {
          const std::lock_guard lock(failing);
          failure = std::current_exception();
        }
      }
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < workers_; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

 private:
  std::size_t workers_, block_, calls_ = 0;
};

}  // namespace support
