// The kernels of losses on hidden states, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hidden_states_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/hidden_states-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void HiddenStatesRowsFloat(const hidden_states_job& job, size_t begin, size_t end, void* scratch) {
  HiddenStatesRows<float>(job, begin, end, scratch);
}
void HiddenStatesRowsDouble(const hidden_states_job& job, size_t begin, size_t end, void* scratch) {
  HiddenStatesRows<double>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(HiddenStatesRowsFloat);
HWY_EXPORT(HiddenStatesRowsDouble);
}  // namespace simd

namespace detail {
void hidden_states_rows_float(const hidden_states_job& job, std::size_t begin, std::size_t end,
                              void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(HiddenStatesRowsFloat)(job, begin, end, scratch);
}
void hidden_states_rows_double(const hidden_states_job& job, std::size_t begin, std::size_t end,
                               void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(HiddenStatesRowsDouble)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
