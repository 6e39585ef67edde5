// Sums of as many rows as a vector has lanes, one row per lane.
#if defined(DISTILL_SIMD_LANE_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_LANE_SUMS_INL_HPP
#undef DISTILL_SIMD_LANE_SUMS_INL_HPP
#else
#define DISTILL_SIMD_LANE_SUMS_INL_HPP
#endif

#include <distill/simd/sums-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums per lane in double. For float lanes the doubles of the lower and the upper half stand apart.
template <class D, bool kFloat = sizeof(Real<D>) == 4>
struct LaneSums {
  using Wide = D;
  static constexpr size_t kParts = 1;
  hn::Vec<D> sum;
  HWY_INLINE explicit LaneSums(D d) : sum(hn::Zero(d)) {}
  HWY_INLINE void Add(D, hn::Vec<D> v) { sum = hn::Add(sum, v); }
  template <size_t kPart>
  HWY_INLINE hn::Vec<D> Part() const {
    return sum;
  }
  static HWY_INLINE hn::Vec<D> Joined(D, hn::Vec<D> a, hn::Vec<D>) { return a; }
};

#if HWY_TARGET != HWY_SCALAR
template <class D>
struct LaneSums<D, true> {
  using Wide = hn::RepartitionToWide<D>;
  static constexpr size_t kParts = 2;
  WideSum<D> sum;
  HWY_INLINE explicit LaneSums(D d) : sum(d) {}
  HWY_INLINE void Add(D d, hn::Vec<D> v) { sum.Add(d, v); }
  template <size_t kPart>
  HWY_INLINE hn::Vec<Wide> Part() const {
    if constexpr (kPart == 0)
      return sum.lower;
    else
      return sum.upper;
  }
  static HWY_INLINE hn::Vec<D> Joined(D d, hn::Vec<Wide> lower, hn::Vec<Wide> upper) {
    const hn::Half<D> half;
    return hn::Combine(d, hn::DemoteTo(half, upper), hn::DemoteTo(half, lower));
  }
};
#else
template <class D>
struct LaneSums<D, true> {
  using Wide = hn::CappedTag<double, 1>;
  static constexpr size_t kParts = 1;
  hn::Vec<Wide> sum;
  HWY_INLINE explicit LaneSums(D) : sum(hn::Zero(Wide())) {}
  HWY_INLINE void Add(D, hn::Vec<D> v) {
    sum = hn::Add(sum, hn::Set(Wide(), static_cast<double>(hn::GetLane(v))));
  }
  template <size_t kPart>
  HWY_INLINE hn::Vec<Wide> Part() const {
    return sum;
  }
  static HWY_INLINE hn::Vec<D> Joined(D d, hn::Vec<Wide> a, hn::Vec<Wide>) {
    return hn::Set(d, static_cast<float>(hn::GetLane(a)));
  }
};
#endif

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
