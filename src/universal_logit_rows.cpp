// The kernels of universal_logit, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "universal_logit_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/universal_logit_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void UniversalLogitRowsFloat(const universal_logit_job& job, size_t begin, size_t end, void* scratch) {
  UniversalLogitRows<float>(job, begin, end, scratch);
}
void UniversalLogitRowsDouble(const universal_logit_job& job, size_t begin, size_t end, void* scratch) {
  UniversalLogitRows<double>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(UniversalLogitRowsFloat);
HWY_EXPORT(UniversalLogitRowsDouble);
}  // namespace simd

namespace detail {
void universal_logit_rows_float(const universal_logit_job& job, std::size_t begin, std::size_t end,
                                void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(UniversalLogitRowsFloat)(job, begin, end, scratch);
}
void universal_logit_rows_double(const universal_logit_job& job, std::size_t begin, std::size_t end,
                                 void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(UniversalLogitRowsDouble)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
