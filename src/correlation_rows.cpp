// The kernels of correlation, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "correlation_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/correlation-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void CorrelationRowsFloat(const correlation_job& job, size_t begin, size_t end, void* scratch) {
  CorrelationRows<float>(job, begin, end, scratch);
}
void CorrelationRowsDouble(const correlation_job& job, size_t begin, size_t end, void* scratch) {
  CorrelationRows<double>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(CorrelationRowsFloat);
HWY_EXPORT(CorrelationRowsDouble);
}  // namespace simd

namespace detail {
void correlation_rows_float(const correlation_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(CorrelationRowsFloat)(job, begin, end, scratch);
}
void correlation_rows_double(const correlation_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(CorrelationRowsDouble)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
