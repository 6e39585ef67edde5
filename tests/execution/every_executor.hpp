// The executors that this build has, each made for a number of threads.
#pragma once

#include <condition_variable>
#include <deque>
#include <distill/execution/thread_pool.hpp>
#include <functional>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#if defined(_OPENMP)
#include <distill/execution/openmp.hpp>
#endif
#if defined(DISTILL_TEST_TBB)
#include <distill/execution/tbb.hpp>
#endif

namespace executors_under_test {

/// A thread pool as a program would have one.
class simple_pool {
 public:
  explicit simple_pool(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
  }
  ~simple_pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void submit(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

 private:
  void serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

struct serial_maker {
  explicit serial_maker(std::size_t) {}
  distill::serial_executor& get() { return executor; }
  distill::serial_executor executor;
};

struct thread_pool_maker {
  struct submit_to {
    simple_pool* pool;
    void operator()(std::function<void()> task) const { pool->submit(std::move(task)); }
  };
  explicit thread_pool_maker(std::size_t workers) : pool(workers), executor(submit_to{&pool}, workers) {}
  distill::thread_pool_executor<submit_to>& get() { return executor; }
  simple_pool pool;
  distill::thread_pool_executor<submit_to> executor;
};

#if defined(_OPENMP)
struct openmp_maker {
  explicit openmp_maker(std::size_t threads) : executor{.threads = static_cast<int>(threads)} {}
  distill::openmp_executor& get() { return executor; }
  distill::openmp_executor executor;
};
#endif

#if defined(DISTILL_TEST_TBB)
struct tbb_maker {
  /// Runs in an arena of its own size.
  struct in_arena {
    tbb::task_arena* arena;
    std::size_t concurrency() const {
      return arena->execute([] { return distill::tbb_executor().concurrency(); });
    }
    void for_each_block(std::size_t count, std::size_t grain, distill::block_function f) const {
      arena->execute([&] { distill::tbb_executor().for_each_block(count, grain, f); });
    }
  };
  explicit tbb_maker(std::size_t threads) : arena(static_cast<int>(threads)), executor{&arena} {}
  in_arena& get() { return executor; }
  tbb::task_arena arena;
  in_arena executor;
};
#endif

using every_executor = std::tuple<serial_maker, thread_pool_maker
#if defined(_OPENMP)
                                  ,
                                  openmp_maker
#endif
#if defined(DISTILL_TEST_TBB)
                                  ,
                                  tbb_maker
#endif
                                  >;

}  // namespace executors_under_test
