// The loss kernels in float, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evaluate_rows_float.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/evaluate_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void EvaluateRowsFloat(const row_job& job, size_t begin, size_t end, void* scratch) {
  EvaluateRows<float>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(EvaluateRowsFloat);
}

namespace detail {
void evaluate_rows_float(const row_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(EvaluateRowsFloat)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
