#include "harness/allocation_counter.hpp"

#include <malloc.h>

#include <atomic>
#include <cerrno>

// glibc's own entry points; the functions below replace malloc and relatives in the whole process.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

std::atomic<bool> counting{false};
std::atomic<std::ptrdiff_t> live{0};
std::atomic<std::ptrdiff_t> peak{0};

std::ptrdiff_t size_of(void* address) {
  return address == nullptr ? 0 : static_cast<std::ptrdiff_t>(malloc_usable_size(address));
}

void add(std::ptrdiff_t bytes) {
  const std::ptrdiff_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::ptrdiff_t highest = peak.load(std::memory_order_relaxed);
  while (now > highest && !peak.compare_exchange_weak(highest, now, std::memory_order_relaxed)) {
  }
}

void* counted(void* address) {
  if (counting.load(std::memory_order_relaxed)) add(size_of(address));
  return address;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) { return counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return counted(__libc_calloc(count, size)); }
void* memalign(std::size_t alignment, std::size_t size) { return counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }

int posix_memalign(void** address, std::size_t alignment, std::size_t size) {
  *address = memalign(alignment, size);
  return *address == nullptr ? ENOMEM : 0;
}

void free(void* address) {
  if (counting.load(std::memory_order_relaxed)) add(-size_of(address));
  __libc_free(address);
}

void* realloc(void* address, std::size_t size) {
  if (counting.load(std::memory_order_relaxed)) add(-size_of(address));
  return counted(__libc_realloc(address, size));
}

}  // extern "C"

namespace benchmarks {

allocation_counter::allocation_counter() {
  live = 0;
  peak = 0;
  counting = true;
}

allocation_counter::~allocation_counter() { counting = false; }

std::ptrdiff_t allocation_counter::live_bytes() const { return live; }
std::ptrdiff_t allocation_counter::peak_bytes() const { return peak; }
void allocation_counter::reset_peak() { peak = live.load(); }

}  // namespace benchmarks
