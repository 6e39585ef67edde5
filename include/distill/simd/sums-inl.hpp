// Sums that keep their digits: vectors of the compute type within a block, doubles across blocks.
#if defined(DISTILL_SIMD_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_SUMS_INL_HPP
#undef DISTILL_SIMD_SUMS_INL_HPP
#else
#define DISTILL_SIMD_SUMS_INL_HPP
#endif

#include <distill/simd/exponential-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Vectors added in the compute type before they are carried over to doubles: bounds the rounding error.
inline constexpr size_t kBlockVectors = 64;

// A vector of doubles, or two, that vectors of the compute type are carried into lane by lane.
template <class D, bool kFloat = sizeof(Real<D>) == 4>
struct WideSum {
  hn::Vec<D> sum;
  HWY_INLINE explicit WideSum(D d) : sum(hn::Zero(d)) {}
  HWY_INLINE void Add(D, hn::Vec<D> v) { sum = hn::Add(sum, v); }
  HWY_INLINE double Total(D d) const { return hn::GetLane(hn::SumOfLanes(d, sum)); }
};

template <class D>
struct WideSum<D, true> {
#if HWY_TARGET == HWY_SCALAR
  double sum = 0;
  HWY_INLINE explicit WideSum(D) {}
  HWY_INLINE void Add(D, hn::Vec<D> v) { sum += static_cast<double>(hn::GetLane(v)); }
  HWY_INLINE double Total(D) const { return sum; }
#else
  using Wide = hn::RepartitionToWide<D>;
  hn::Vec<Wide> lower, upper;
  HWY_INLINE explicit WideSum(D) : lower(hn::Zero(Wide())), upper(hn::Zero(Wide())) {}
  HWY_INLINE void Add(D d, hn::Vec<D> v) {
    const Wide wide;
    const hn::Half<D> half;
    lower = hn::Add(lower, hn::PromoteTo(wide, hn::LowerHalf(half, v)));
    upper = hn::Add(upper, hn::PromoteTo(wide, hn::UpperHalf(half, v)));
    (void)d;
  }
  HWY_INLINE double Total(D) const {
    const Wide wide;
    return hn::GetLane(hn::SumOfLanes(wide, hn::Add(lower, upper)));
  }
#endif
};

template <class D, class V>
HWY_INLINE bool AllFinite(D d, V v) {
  const V difference = hn::Sub(v, v);
  return hn::AllTrue(d, hn::Eq(difference, difference));
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
