#include "jobs.hpp"

#include <ATen/Parallel.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

namespace torch_transformer {

void run_jobs(const std::vector<std::function<void()>>& jobs, int threads) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    at::set_num_threads(1);
    for (std::size_t job; (job = next.fetch_add(1)) < jobs.size();) {
      try {
        jobs[job]();
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
        next.store(jobs.size());
      }
    }
  };
  {
    std::vector<std::jthread> team;
    for (int i = 0; i < threads; ++i) team.emplace_back(work);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace torch_transformer
