// Exponentials and logarithms of vectors, to the accuracy the losses need and no more.
#if defined(DISTILL_SIMD_EXPONENTIAL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_EXPONENTIAL_INL_HPP
#undef DISTILL_SIMD_EXPONENTIAL_INL_HPP
#else
#define DISTILL_SIMD_EXPONENTIAL_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <distill/version.hpp>

#if HWY_HAVE_SCALABLE
#error \
    "distill: kernels keep vectors in structs, which SVE and RVV do not allow; compile header-only mode without them"
#endif

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using Real = hn::TFromD<D>;

inline constexpr double kLog2e = 1.4426950408889634074;
inline constexpr double kLn2 = 0.69314718055994530942;

// To be called on leaving the kernels. Without AVX, g++ may keep a spilled 64-bit value in an MMX register,
// after which the caller's long double arithmetic would give NaN.
HWY_INLINE void RestoreX87() {
#if HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
  _mm_empty();
#endif
}

// The larger of v and bound; NaN stays NaN, which Max alone does not promise on every target.
template <class D, class V>
HWY_INLINE V AtLeast(D d, V v, Real<D> bound) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  return hn::IfThenElse(hn::Lt(v, hn::Set(d, bound)), hn::Set(d, bound), v);
#else
  return hn::Max(hn::Set(d, bound), v);
#endif
}

// Horner's rule, lowest coefficient first.
template <class D, class V, class... Rest>
HWY_INLINE V Polynomial(D d, V x, Real<D> c0, Rest... rest) {
  if constexpr (sizeof...(rest) == 0)
    return hn::Set(d, c0);
  else
    return hn::MulAdd(x, Polynomial(d, x, rest...), hn::Set(d, c0));
}

// An integer k near v and 2^k, by adding a number so large that its last bits are k plus the exponent bias.
// Needs v in [-bias, bias]; v = -bias gives 2^k = 0 exactly.
template <class D, class V>
HWY_INLINE void NearestPower(D d, V v, V& k, V& power) {
  if constexpr (sizeof(Real<D>) == 4) {
    const V magic = hn::Set(d, 12582912.0f + 127.0f);  // 1.5 * 2^23 + bias
    const V shifted = hn::Add(v, magic);
    k = hn::Sub(shifted, magic);
    const hn::RebindToUnsigned<D> du;
    power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(du, shifted)));
  } else {
    const V magic = hn::Set(d, 6755399441055744.0 + 1023.0);  // 1.5 * 2^52 + bias
    const V shifted = hn::Add(v, magic);
    k = hn::Sub(shifted, magic);
    const hn::RebindToUnsigned<D> du;
    power = hn::BitCast(d, hn::ShiftLeft<52>(hn::BitCast(du, shifted)));
  }
}

// (2^f - 1) for |f| <= 1/2, relative error 1.1e-8 (float), 3e-21 (double), before rounding.
template <class D, class V>
HWY_INLINE V PowerOfFractionMinus1(D d, V f) {
  if constexpr (sizeof(Real<D>) == 4) {
    return hn::Mul(f, Polynomial(d, f, 0.693147187927f, 0.24022649795f, 0.0555035743364f, 0.00961823749491f,
                                 0.00133907354776f, 0.000154035123676f));
  } else {
    return hn::Mul(f,
                   Polynomial(d, f, 0.69314718055994530942, 0.24022650695910071228, 0.055504108664821580038,
                              0.0096181291076284829995, 0.0013333558146428405475, 0.00015403530393362878114,
                              0.000015252733804120622925, 1.3215486815887596257e-6, 1.0178085967526365898e-7,
                              7.0548944313283709827e-9, 4.4455494020093988802e-10, 2.5733502850581951591e-11,
                              1.3691489802639771736e-12));
  }
}

#if HWY_TARGET <= HWY_AVX3
// x 2^floor(v). Every lane is selected; without a mask g++ 12 takes the operand that its own header leaves
// undefined for an uninitialised variable.
HWY_INLINE __m512 ScaleByPowerOf2(__m512 x, __m512 v) {
  return _mm512_mask_scalef_ps(x, static_cast<__mmask16>(-1), x, v);
}
#endif

// 2^v for v below the exponent bias; 0 from -bias down, -inf included; NaN for NaN; exactly 1 for 0. Relative
// error 1.1e-8 (float), 3e-21 (double), before rounding.
template <class D, class V>
HWY_INLINE V Exp2(D d, V v) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_same_v<V, hn::Vec512<float>>) {
    const V f{_mm512_reduce_ps(v.raw, 0x00)};
    const V power{ScaleByPowerOf2(_mm512_set1_ps(1.0f), _mm512_sub_ps(v.raw, f.raw))};
    return hn::MulAdd(PowerOfFractionMinus1(d, f), power, power);
  }
#endif
  constexpr Real<D> lowest = sizeof(Real<D>) == 4 ? -127 : -1023;
  V k, power;
  const V clamped = AtLeast(d, v, lowest);
  NearestPower(d, clamped, k, power);
  return hn::MulAdd(PowerOfFractionMinus1(d, hn::Sub(clamped, k)), power, power);
}

// The same with a relative error of 9.2e-8 before rounding, in float only: two operations fewer, and four
// fewer where the processor has instructions for it.
template <class D, class V>
HWY_INLINE V Exp2Fast(D d, V v) {
  if constexpr (sizeof(Real<D>) == 8) return Exp2(d, v);
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_same_v<V, hn::Vec512<float>>) {
    // vscalefps takes floor(v), so the fraction is taken downwards: on [0, 1) instead of [-1/2, 1/2].
    const V f{_mm512_reduce_ps(v.raw, 0x01)};
    const V p = Polynomial(d, f, 1.0f, 0.693151311818f, 0.24016445004f, 0.0557999134242f, 0.00901702996368f,
                           0.00186713021149f);
    return V{ScaleByPowerOf2(p.raw, v.raw)};
  }
#endif
  if constexpr (sizeof(Real<D>) == 4) {
    V k, power;
    const V clamped = AtLeast(d, v, -127.0f);
    NearestPower(d, clamped, k, power);
    const V p = Polynomial(d, hn::Sub(clamped, k), 1.0f, 0.693146977603f, 0.240222420855f, 0.0555073373724f,
                           0.00967151263982f, 0.00132647290963f);
    return hn::Mul(p, power);
  }
}

// 2^v - 1 for v <= 0, with full relative accuracy near 0; -1 for -inf.
template <class D, class V>
HWY_INLINE V Exp2Minus1(D d, V v) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_same_v<V, hn::Vec512<float>>) {
    const V f{_mm512_reduce_ps(v.raw, 0x00)};
    const V power{ScaleByPowerOf2(_mm512_set1_ps(1.0f), _mm512_sub_ps(v.raw, f.raw))};
    return hn::MulAdd(PowerOfFractionMinus1(d, f), power, hn::Sub(power, hn::Set(d, 1.0f)));
  }
#endif
  constexpr Real<D> lowest = sizeof(Real<D>) == 4 ? -127 : -1023;
  V k, power;
  const V clamped = AtLeast(d, v, lowest);
  NearestPower(d, clamped, k, power);
  const V one = hn::Set(d, Real<D>{1});
  return hn::MulAdd(PowerOfFractionMinus1(d, hn::Sub(clamped, k)), power, hn::Sub(power, one));
}

// log2(v) for normal positive v, in float with an absolute error of 2.1e-8 before rounding. What it gives for
// 0 and denormal numbers is finite and below -126.
template <class D, class V>
HWY_INLINE V Log2(D d, V v) {
  static_assert(sizeof(Real<D>) == 4);
  const hn::RebindToSigned<D> di;
  // v = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)).
  const auto k = hn::ShiftRight<23>(hn::Sub(hn::BitCast(di, v), hn::Set(di, 0x3f3504f3)));
  const V f = hn::Sub(hn::BitCast(d, hn::Sub(hn::BitCast(di, v), hn::ShiftLeft<23>(k))), hn::Set(d, 1.0f));
  const V series = Polynomial(d, f, 1.442695022f, -0.7213474512f, 0.4809107482f, -0.3606932759f,
                              0.2879032493f, -0.2391698807f, 0.2160782218f, -0.2058618814f, 0.1231096834f);
  return hn::MulAdd(f, series, hn::ConvertTo(d, k));
}

// log(1 + x) for x > -1, natural, with full relative accuracy near 0: relative error about 2e-7 (float).
// -inf for -1, inf for inf. In double without kFull the relative error is 5e-11: for values that come from
// floats.
template <bool kFull = true, class D, class V>
HWY_INLINE V Log1p(D d, V x) {
  using T = Real<D>;
  const hn::RebindToSigned<D> di;
  const V one = hn::Set(d, T{1});
  const V u = hn::Add(x, one);
  constexpr int kMantissa = sizeof(T) == 4 ? 23 : 52;
  constexpr hwy::MakeSigned<T> kHalfRoot =
      sizeof(T) == 4 ? hwy::MakeSigned<T>{0x3f3504f3} : static_cast<hwy::MakeSigned<T>>(0x3fe6a09e667f3bcdll);
  // k such that u / 2^k lies in [sqrt(1/2), sqrt(2)).
  const auto k = hn::ShiftRight<kMantissa>(hn::Sub(hn::BitCast(di, u), hn::Set(di, kHalfRoot)));
  const V inverse_power = hn::BitCast(d, hn::Sub(hn::BitCast(di, one), hn::ShiftLeft<kMantissa>(k)));
  // (1 + x) 2^-k - 1, where x itself is exact for k = 0.
  const V f = hn::MulAdd(x, inverse_power, hn::Sub(inverse_power, one));
  V tail;
  if constexpr (sizeof(T) == 4) {
    tail = Polynomial(d, f, 0.333333312568f, -0.249999811861f, 0.200006880851f, -0.166691510145f,
                      0.142511557121f, -0.123967002743f, 0.116346615956f, -0.116599299871f, 0.0733253262275f);
    const V f2 = hn::Mul(f, f);
    const V series = hn::MulAdd(hn::Mul(f2, f), tail, hn::NegMulAdd(f2, hn::Set(d, 0.5f), f));
    const V result = hn::MulAdd(hn::ConvertTo(d, k), hn::Set(d, static_cast<T>(kLn2)), series);
    return hn::IfThenElse(hn::Lt(u, hn::Set(d, 3e38f)),
                          hn::IfThenElse(hn::Gt(u, hn::Zero(d)), result, hn::Neg(hn::Inf(d))), hn::Inf(d));
  } else {
    // log((1 + f)) = 2 atanh(s), s = f / (2 + f), |s| < 0.172: odd series to s^23, or to s^11.
    const V s = hn::Div(f, hn::Add(f, hn::Set(d, 2.0)));
    const V z = hn::Mul(s, s);
    if constexpr (kFull)
      tail = Polynomial(d, z, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                        1.0 / 19, 1.0 / 21, 1.0 / 23);
    else
      tail = Polynomial(d, z, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11);
    const V twice = hn::Add(s, s);
    const V series = hn::MulAdd(hn::Mul(twice, z), tail, twice);
    const V result = hn::MulAdd(hn::ConvertTo(d, k), hn::Set(d, kLn2), series);
    return hn::IfThenElse(hn::Lt(u, hn::Set(d, 1e308)),
                          hn::IfThenElse(hn::Gt(u, hn::Zero(d)), result, hn::Neg(hn::Inf(d))), hn::Inf(d));
  }
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
