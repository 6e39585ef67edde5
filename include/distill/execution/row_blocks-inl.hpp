// How the rows of a matrix are handed to an executor, each block with scratch memory of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <thread>

namespace distill::inline DISTILL_ABI::detail {

// An output larger than this is written past the caches: with its inputs it would not stay in them until it
// is read. A constant, because what the system reports for a virtual machine can be ten times what it has.
inline constexpr std::size_t cache_worth_keeping = std::size_t{16} << 20;

// The widest vector the kernels are built for; scratch rows are padded to it.
inline constexpr std::size_t widest_vector_bytes = 64;

constexpr std::size_t round_up_to_line(std::size_t bytes) {
  return (bytes + workspace::alignment - 1) / workspace::alignment * workspace::alignment;
}

// Hands one of at most 64 scratch slots to each block in flight.
class slot_pool {
 public:
  explicit slot_pool(std::size_t count)
      : free_(count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) {}

  int take() {
    for (;;) {
      std::uint64_t mask = free_.load(std::memory_order_relaxed);
      if (mask == 0) {
        std::this_thread::yield();
        continue;
      }
      const int slot = std::countr_zero(mask);
      if (free_.compare_exchange_weak(mask, mask & ~(std::uint64_t{1} << slot), std::memory_order_acquire))
        return slot;
    }
  }
  void give_back(int slot) { free_.fetch_or(std::uint64_t{1} << slot, std::memory_order_release); }

  // A slot for the life of a block, also when the block throws.
  class lease {
   public:
    explicit lease(slot_pool& pool) : pool_(pool), slot_(pool.take()) {}
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;
    ~lease() { pool_.give_back(slot_); }
    int slot() const { return slot_; }

   private:
    slot_pool& pool_;
    int slot_;
  };

 private:
  std::atomic<std::uint64_t> free_;
};

// Blocks of at least 64 KiB of input, whole tiles of one row per lane where rows are short.
struct row_blocks {
  std::size_t rows, grain, slots;

  row_blocks(const executor_ref& executor, std::size_t row_count, std::size_t bytes_per_row)
      : rows(row_count) {
    constexpr std::size_t bytes_per_block = std::size_t{64} << 10, tile = 16;
    const std::size_t workers = std::clamp<std::size_t>(executor.concurrency(), 1, 64);
    // Long rows: several to a block, because a row's gradient is finished while the next row is read.
    const bool long_rows = bytes_per_row >= bytes_per_block;
    grain = long_rows ? std::clamp<std::size_t>(rows / (4 * workers), 1, 16)
                      : (bytes_per_block / bytes_per_row + 1 + tile - 1) / tile * tile;
    slots = std::min(workers, (rows + grain - 1) / grain);
  }

  // Calls f(begin, end, scratch), scratch being slot_bytes of the slots * slot_bytes at `memory`.
  template <class F>
  void run(const executor_ref& executor, std::byte* memory, std::size_t slot_bytes, F f) const {
    slot_pool pool(slots);
    executor.for_each_block(rows, grain, [&](std::size_t begin, std::size_t end) {
      const slot_pool::lease lease(pool);
      f(begin, end, static_cast<void*>(memory + static_cast<std::size_t>(lease.slot()) * slot_bytes));
    });
  }
};

// The memory of a call, from the workspace it was given or from one of its own: what it keeps, then a slot of
// scratch for each block in flight.
class call_memory {
 public:
  call_memory(workspace* given, std::size_t kept_bytes, std::size_t slots, std::size_t slot_bytes)
      : kept_bytes_(round_up_to_line(kept_bytes)),
        slot_bytes_(round_up_to_line(slot_bytes)),
        memory_((given != nullptr ? *given : own_).require(kept_bytes_ + slots * slot_bytes_)) {}

  std::byte* kept() const { return memory_; }

  // Calls kernel(job, begin, end, scratch) for every block.
  template <class Job>
  void run(const executor_ref& executor, const row_blocks& blocks,
           void (*kernel)(const Job&, std::size_t, std::size_t, void*), const Job& job) const {
    blocks.run(executor, memory_ + kept_bytes_, slot_bytes_,
               [&](std::size_t begin, std::size_t end, void* scratch) { kernel(job, begin, end, scratch); });
  }

 private:
  workspace own_;
  std::size_t kept_bytes_, slot_bytes_;
  std::byte* memory_;
};

}  // namespace distill::inline DISTILL_ABI::detail
