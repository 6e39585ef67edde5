#pragma once

#include <distill/execution/executor.hpp>
#include <distill/execution/units.hpp>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

namespace distill::inline DISTILL_ABI {

/// Runs rows in the caller's TBB arena: `tbb_executor{}`. How many threads that is, is the arena's business:
/// call from inside `tbb::task_arena::execute` to choose. The program links TBB.
///
/// Rows are cut into small units that idle threads steal; calls may nest. An exception of a unit is rethrown
/// in the caller after the units in flight have ended; units not begun by then are skipped.
struct tbb_executor {
  std::size_t concurrency() const {
    return static_cast<std::size_t>(tbb::this_task_arena::max_concurrency());
  }

  void for_each_block(std::size_t count, std::size_t grain, block_function f) const {
    const detail::units units(count, grain, concurrency());
    if (units.number <= 1) {
      if (count > 0) f(0, count);
      return;
    }
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, units.number),
                      [&](const tbb::blocked_range<std::size_t>& range) {
                        f(units.begin(range.begin()), units.begin(range.end()));
                      });
  }
};

}  // namespace distill::inline DISTILL_ABI
