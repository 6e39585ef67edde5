// What the kernels on teachers' rows share: logits to the end of a row, several sums at once, the terms of a
// divergence.
#if defined(DISTILL_SIMD_TEACHER_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_SUMS_INL_HPP
#undef DISTILL_SIMD_TEACHER_SUMS_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_SUMS_INL_HPP
#endif

#include <distill/simd/row_walk-inl.hpp>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Powers of 2 from here down are 0 in the compute type; an exponent kept finite times such a power is 0.
template <class T>
inline constexpr T kLeastExponent = sizeof(T) == 4 ? -160 : -1100;

// log2(e) / T in the compute type, kept finite and above 0.
template <class T>
HWY_INLINE T Log2eOver(double temperature) {
  constexpr double most = sizeof(T) == 4 ? 3e38 : 1e308, least = sizeof(T) == 4 ? 1e-37 : 1e-307;
  return static_cast<T>(HWY_MAX(least, HWY_MIN(most, kLog2e / temperature)));
}

// 1 / T likewise.
template <class T>
HWY_INLINE T InverseOf(double temperature) {
  constexpr double most = sizeof(T) == 4 ? 3e38 : 1e308, least = sizeof(T) == 4 ? 1e-37 : 1e-307;
  return static_cast<T>(HWY_MAX(least, HWY_MIN(most, 1 / temperature)));
}

// Whether distances from the maximum, over the temperature, neither overflow nor vanish; false for NaN.
template <class T>
inline constexpr double kMostLogit = sizeof(T) == 4 ? 1e37 : 1e307;
template <class T>
HWY_INLINE bool IsInRange(double maximum, double temperature) {
  constexpr double most_temperature = sizeof(T) == 4 ? 1e30 : 1e300;
  return maximum >= -kMostLogit<T> && maximum <= kMostLogit<T> && temperature <= most_temperature;
}

// Beyond the end of a row: -inf.
template <class D>
HWY_INLINE hn::Vec<D> LoadLogitsFirst(D d, const Real<D>* p, size_t count) {
  if (count == hn::Lanes(d)) return hn::LoadU(d, p);
  return hn::IfThenElse(hn::FirstN(d, count), LoadPart(d, p, count), hn::Neg(hn::Inf(d)));
}

template <class D>
HWY_INLINE Real<D> MaximumOfRow(D d, const Real<D>* p, size_t n) {
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d);
  V even = hn::Neg(hn::Inf(d)), odd = even;
  size_t j = 0;
  for (; j + 2 * lanes <= n; j += 2 * lanes) {
    even = hn::Max(even, hn::LoadU(d, p + j));
    odd = hn::Max(odd, hn::LoadU(d, p + j + lanes));
  }
  for (; j < n; j += lanes) even = hn::Max(even, LoadLogitsFirst(d, p + j, HWY_MIN(lanes, n - j)));
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(even, odd)));
}

// kSums sums over a row, to which f(j, count, sums) adds at every vector; carried into doubles block by
// block.
template <size_t kSums, class D, class F, size_t... kIndex>
HWY_INLINE void SumRowInto(D d, size_t n, double* HWY_RESTRICT totals, F f, std::index_sequence<kIndex...>) {
  using V = hn::Vec<D>;
  WideSum<D> wide[kSums] = {((void)kIndex, WideSum<D>(d))...};
  const size_t lanes = hn::Lanes(d), block = kBlockVectors * lanes;
  for (size_t begin = 0; begin < n; begin += block) {
    V sums[kSums] = {((void)kIndex, hn::Zero(d))...};
    const size_t end = HWY_MIN(n, begin + block);
    size_t j = begin;
    for (; j + lanes <= end; j += lanes) f(j, lanes, sums);
    if (j < end) f(j, end - j, sums);
    (wide[kIndex].Add(d, sums[kIndex]), ...);
  }
  ((totals[kIndex] = wide[kIndex].Total(d)), ...);
}
template <size_t kSums, class D, class F>
HWY_INLINE void SumRow(D d, size_t n, double* HWY_RESTRICT totals, F f) {
  SumRowInto<kSums>(d, n, totals, f, std::make_index_sequence<kSums>());
}

// p log(p / q) - p + q, which is not negative, from x = log2 p, y = log2 q and their difference. 0 where both
// are 0; inf where only q is.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V DivergenceTerm(D d, V x, V y, V difference) {
  using T = Real<D>;
  const V p = Exp2(d, x), q = Exp2(d, y);
  const V v = hn::Mul(difference, hn::Set(d, static_cast<T>(kLn2)));
  // v + exp(-v) - 1 as a series in v, times p.
  V series;
  if constexpr (sizeof(T) == 4)
    series = Polynomial(d, v, 1 / 2.f, -1 / 6.f, 1 / 24.f, -1 / 120.f, 1 / 720.f, -1 / 5040.f, 1 / 40320.f);
  else
    series = Polynomial(d, v, 1 / 2., -1 / 6., 1 / 24., -1 / 120., 1 / 720., -1 / 5040., 1 / 40320.,
                        -1 / 362880., 1 / 3628800., -1 / 39916800., 1 / 479001600., -1 / 6227020800.,
                        1 / 87178291200., -1 / 1307674368000.);
  const V near = hn::Mul(p, hn::Mul(hn::Mul(v, v), series));
  const V far = hn::IfThenElse(hn::Eq(p, hn::Zero(d)), q, hn::Add(hn::Mul(p, v), hn::Sub(q, p)));
  return hn::IfThenElse(hn::Lt(hn::Abs(v), hn::Set(d, T{0.5})), near, far);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
