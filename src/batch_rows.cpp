// The kernels of losses on batches, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "batch_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/batch-inl.hpp>

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(BatchRows);
}

namespace detail {
void batch_rows(const batch_job& job, std::size_t begin, std::size_t end) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(BatchRows)(job, begin, end);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
