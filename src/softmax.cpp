// softmax, log_softmax, log_sum_exp and their gradients: the kernels once per SIMD target, and what calls them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "softmax.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/softmax-inl.hpp>

#if HWY_ONCE
#include <distill/numeric/softmax-inl.hpp>

namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(SoftmaxRowsFloat);
HWY_EXPORT(SoftmaxRowsDouble);
}  // namespace simd

namespace detail {

void softmax_rows_float(const softmax_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(SoftmaxRowsFloat)(job, begin, end, scratch);
}
void softmax_rows_double(const softmax_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(SoftmaxRowsDouble)(job, begin, end, scratch);
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI
#endif
