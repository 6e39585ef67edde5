// The kernels that mix teachers, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "teacher_mixing_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/teacher_mixing_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void MixingRowsFloat(const mixing_job& job, size_t begin, size_t end, void* scratch) {
  MixingRows<float>(job, begin, end, scratch);
}
void MixingRowsDouble(const mixing_job& job, size_t begin, size_t end, void* scratch) {
  MixingRows<double>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(MixingRowsFloat);
HWY_EXPORT(MixingRowsDouble);
}  // namespace simd

namespace detail {
void mixing_rows(const mixing_job& job, bool in_double, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  if (in_double)
    HWY_DYNAMIC_DISPATCH(MixingRowsDouble)(job, begin, end, scratch);
  else
    HWY_DYNAMIC_DISPATCH(MixingRowsFloat)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
