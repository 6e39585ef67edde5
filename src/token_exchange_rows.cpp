// Tokens to their experts' rows and back: the kernels once per SIMD target, and what calls them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "token_exchange_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/token_exchange-inl.hpp>

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(ExchangeTokens);
}

namespace detail {
void exchange_tokens(const exchange_job& job, std::size_t begin, std::size_t end) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(ExchangeTokens)(job, begin, end);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
