// The kernels that measure and compare rows, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "teacher_statistics_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/teacher_statistics_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void RowStatisticsRowsFloat(const row_statistics_job& job, size_t begin, size_t end, void* scratch) {
  RowStatisticsRows<float>(job, begin, end, scratch);
}
void RowStatisticsRowsDouble(const row_statistics_job& job, size_t begin, size_t end, void* scratch) {
  RowStatisticsRows<double>(job, begin, end, scratch);
}
void RowComparisonRowsFloat(const row_comparison_job& job, size_t begin, size_t end, void* scratch) {
  RowComparisonRows<float>(job, begin, end, scratch);
}
void RowComparisonRowsDouble(const row_comparison_job& job, size_t begin, size_t end, void* scratch) {
  RowComparisonRows<double>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(RowStatisticsRowsFloat);
HWY_EXPORT(RowStatisticsRowsDouble);
HWY_EXPORT(RowComparisonRowsFloat);
HWY_EXPORT(RowComparisonRowsDouble);
}  // namespace simd

namespace detail {
void row_statistics_rows(const row_statistics_job& job, bool in_double, std::size_t begin, std::size_t end,
                         void* scratch) {
  using namespace simd;
  if (in_double)
    HWY_DYNAMIC_DISPATCH(RowStatisticsRowsDouble)(job, begin, end, scratch);
  else
    HWY_DYNAMIC_DISPATCH(RowStatisticsRowsFloat)(job, begin, end, scratch);
}
void row_comparison_rows(const row_comparison_job& job, bool in_double, std::size_t begin, std::size_t end,
                         void* scratch) {
  using namespace simd;
  if (in_double)
    HWY_DYNAMIC_DISPATCH(RowComparisonRowsDouble)(job, begin, end, scratch);
  else
    HWY_DYNAMIC_DISPATCH(RowComparisonRowsFloat)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
