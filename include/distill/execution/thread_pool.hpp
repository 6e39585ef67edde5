#pragma once

#include <atomic>
#include <condition_variable>
#include <distill/execution/executor.hpp>
#include <distill/execution/units.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

namespace distill::inline DISTILL_ABI {

/// Runs rows on a thread pool that the caller owns: `thread_pool_executor{submit, workers}`.
///
/// `submit(task)` must have the pool run `task()` once, soon or late, on one of its threads; the task is a
/// small copyable callable that never throws (a std::function<void()> holds it). Any pool fits: a queue of
/// std::function, an Asio context, a job system. `workers` is how many tasks a call submits at most; the
/// calling thread takes part, so `concurrency()` is workers + 1.
///
/// Rows are cut into small units that whoever is free takes from a counter. Nothing spins: a caller with
/// nothing left to take sleeps until the units still running have ended. Tasks that a busy pool starts late
/// find nothing to do, so a call never waits for the pool to have a free thread, and a call from inside a
/// task is safe. An exception of a unit is rethrown in the caller after every unit in flight has ended; units
/// not begun by then are skipped. An exception of `submit` only means fewer helpers. Cost: one allocation a
/// call. One executor may serve several callers at once, if `submit` may be called so.
template <class Submit>
class thread_pool_executor {
 public:
  thread_pool_executor(Submit submit, std::size_t workers) : submit_(std::move(submit)), workers_(workers) {}

  std::size_t concurrency() const { return workers_ + 1; }

  void for_each_block(std::size_t count, std::size_t grain, block_function f) const {
    const detail::units units(count, grain, concurrency());
    if (units.number <= 1 || workers_ == 0) {
      if (count > 0) f(0, count);
      return;
    }
    const auto batch = std::make_shared<shared_units>(units, f);
    const std::size_t helpers = units.number - 1 < workers_ ? units.number - 1 : workers_;
    try {
      for (std::size_t i = 0; i < helpers; ++i) submit_([batch] { batch->work(); });
    } catch (...) {  // the caller does what the pool cannot
    }
    batch->work();
    batch->wait();
  }

 private:
  // Outlives the call: late tasks hold a share of it, and touch f only while the caller waits.
  struct shared_units {
    shared_units(const detail::units& cut, block_function function)
        : units(cut), f(function), unfinished(cut.number) {}

    void work() {
      for (;;) {
        const std::size_t unit = next.fetch_add(1, std::memory_order_relaxed);
        if (unit >= units.number) return;
        run(unit);
        const std::lock_guard lock(mutex);
        if (--unfinished == 0) all_done.notify_all();
      }
    }

    void run(std::size_t unit) {
      if (failed.load(std::memory_order_relaxed)) return;
      try {
        f(units.begin(unit), units.begin(unit + 1));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        failed.store(true, std::memory_order_relaxed);
      }
    }

    void wait() {
      std::unique_lock lock(mutex);
      all_done.wait(lock, [this] { return unfinished == 0; });
      if (error) std::rethrow_exception(std::exchange(error, nullptr));
    }

    const detail::units units;
    const block_function f;
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::condition_variable all_done;
    std::size_t unfinished;
    std::exception_ptr error;
  };

  mutable Submit submit_;
  std::size_t workers_;
};

}  // namespace distill::inline DISTILL_ABI
