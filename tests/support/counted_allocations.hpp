#pragma once

#include <atomic>
#include <cstddef>

namespace support {

/// How often the program has called operator new: an executable that links distill_test_allocations counts.
extern std::atomic<std::size_t> allocations;

}  // namespace support
