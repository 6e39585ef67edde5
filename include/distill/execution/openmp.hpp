#pragma once

#if !defined(_OPENMP)
#error "distill/execution/openmp.hpp needs a compiler flag that turns OpenMP on, such as -fopenmp"
#endif

#include <omp.h>

#include <atomic>
#include <distill/execution/executor.hpp>
#include <distill/execution/units.hpp>
#include <exception>
#include <utility>

namespace distill::inline DISTILL_ABI {

/// Runs rows on an OpenMP team: `openmp_executor{}` or `openmp_executor{.threads = 4}`.
///
/// The caller is a member of the team. Rows are cut into small units handed out dynamically, so a thread that
/// is held up leaves little behind. Inside a parallel region it runs as nested parallelism is set: by default
/// on the calling thread alone. An exception of a unit is rethrown in the caller after the team has ended;
/// units not begun by then are skipped. How idle threads wait is the OpenMP runtime's choice, and GNU's
/// spins: beside other busy processes set OMP_WAIT_POLICY=passive.
struct openmp_executor {
  /// Of the team; 0: what omp_get_max_threads() says at the call.
  int threads = 0;

  std::size_t concurrency() const {
    return static_cast<std::size_t>(threads > 0 ? threads : omp_get_max_threads());
  }

  void for_each_block(std::size_t count, std::size_t grain, block_function f) const {
    const std::size_t team = concurrency();
    const detail::units units(count, grain, team);
    if (units.number <= 1 || team <= 1) {
      if (count > 0) f(0, count);
      return;
    }
    std::exception_ptr error;
    std::atomic<bool> failed{false};
    const auto number = static_cast<std::ptrdiff_t>(units.number);
#pragma omp parallel for schedule(dynamic) num_threads(static_cast <int>(team))
    for (std::ptrdiff_t i = 0; i < number; ++i) {
      if (failed.load(std::memory_order_relaxed)) continue;
      const auto unit = static_cast<std::size_t>(i);
      try {
        f(units.begin(unit), units.begin(unit + 1));
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(std::move(error));
  }
};

}  // namespace distill::inline DISTILL_ABI
