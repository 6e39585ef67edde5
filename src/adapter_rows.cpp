// The steps between an adapter's products, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "adapter_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/adapter-inl.hpp>

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(AdapterRows);
}

namespace detail {
void adapter_rows(const adapter_job& job, std::size_t begin, std::size_t end) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(AdapterRows)(job, begin, end);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
