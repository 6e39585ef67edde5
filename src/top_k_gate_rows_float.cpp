// The kernels of gates in float, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "top_k_gate_rows_float.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/gate_backward-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void RouteFloat(const gate_job& job, size_t begin, size_t end, void* scratch) {
  RouteChunks<float>(job, begin, end, scratch);
}
void RouteBackwardFloat(const gate_job& job, size_t begin, size_t end, void* scratch) {
  BackwardTokens<float>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(RouteFloat);
HWY_EXPORT(RouteBackwardFloat);
}  // namespace simd

namespace detail {
void route_float(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(RouteFloat)(job, begin, end, scratch);
}
void route_backward_float(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(RouteBackwardFloat)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
