// The loss kernels, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evaluate_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/evaluate_rows-inl.hpp>

#if HWY_ONCE

namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(EvaluateRowsFloat);
HWY_EXPORT(EvaluateRowsDouble);
}  // namespace simd

namespace detail {

void evaluate_rows_float(const row_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(EvaluateRowsFloat)(job, begin, end, scratch);
}
void evaluate_rows_double(const row_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(EvaluateRowsDouble)(job, begin, end, scratch);
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI
#endif
