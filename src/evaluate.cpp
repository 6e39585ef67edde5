#include <distill/loss/evaluate-inl.hpp>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace distill::inline DISTILL_ABI::detail {

std::size_t cache_worth_keeping() {
  constexpr long assumed = 32l << 20;
  long last_level = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
  last_level = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
  return static_cast<std::size_t>(last_level > 0 ? last_level : assumed) / 2;
}

}  // namespace distill::inline DISTILL_ABI::detail
