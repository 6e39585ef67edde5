// The kernels of gates in double, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "top_k_gate_rows_double.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/gate_backward-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void RouteDouble(const gate_job& job, size_t begin, size_t end, void* scratch) {
  RouteChunks<double>(job, begin, end, scratch);
}
void RouteBackwardDouble(const gate_job& job, size_t begin, size_t end, void* scratch) {
  BackwardTokens<double>(job, begin, end, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(RouteDouble);
HWY_EXPORT(RouteBackwardDouble);
}  // namespace simd

namespace detail {
void route_double(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(RouteDouble)(job, begin, end, scratch);
}
void route_backward_double(const gate_job& job, std::size_t begin, std::size_t end, void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(RouteBackwardDouble)(job, begin, end, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
