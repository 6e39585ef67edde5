// The kernels of attention transfer, once per SIMD target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention_transfer_rows.cpp"
#include <hwy/foreach_target.h>
// after foreach_target
#include <distill/simd/attention_transfer-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
void AddPowersDispatched(bool in_double, const input_tensor& x, size_t sample, double power, double* sums,
                         void* scratch) {
  if (in_double)
    AddChannelPowers<double>(x, sample, power, sums, scratch);
  else
    AddChannelPowers<float>(x, sample, power, sums, scratch);
}
void StoreSlopesDispatched(bool in_double, const input_tensor& x, const output_tensor& gradient,
                           size_t sample, double power, const double* slopes, bool accumulate,
                           void* scratch) {
  if (in_double)
    StoreChannelSlopes<double>(x, gradient, sample, power, slopes, accumulate, scratch);
  else
    StoreChannelSlopes<float>(x, gradient, sample, power, slopes, accumulate, scratch);
}
}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace distill::inline DISTILL_ABI {

// HWY_EXPORT looks for the target namespaces beside it.
namespace simd {
HWY_EXPORT(AddPowersDispatched);
HWY_EXPORT(StoreSlopesDispatched);
}  // namespace simd

namespace detail {
void add_channel_powers(bool in_double, const input_tensor& x, std::size_t sample, double power, double* sums,
                        void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(AddPowersDispatched)(in_double, x, sample, power, sums, scratch);
}
void store_channel_slopes(bool in_double, const input_tensor& x, const output_tensor& gradient,
                          std::size_t sample, double power, const double* slopes, bool accumulate,
                          void* scratch) {
  using namespace simd;
  HWY_DYNAMIC_DISPATCH(StoreSlopesDispatched)
  (in_double, x, gradient, sample, power, slopes, accumulate, scratch);
}
}  // namespace detail

}  // namespace distill::inline DISTILL_ABI
#endif
