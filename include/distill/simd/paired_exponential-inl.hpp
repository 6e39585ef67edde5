// exp(teacher) and exp(student) of the same classes, from two exponentials, such that their difference keeps its
// digits when they are nearly equal.
//
// With b the larger of the two exponents and w = log2 of their ratio, the larger exponential is 2^b and the smaller
// is 2^b (1 + m), m = 2^-|w| - 1 in (-1, 0]. The difference 2^b m never comes from a subtraction of nearly equal
// numbers, and nothing overflows however far the two lie apart.
#if defined(DISTILL_SIMD_PAIRED_EXPONENTIAL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_PAIRED_EXPONENTIAL_INL_HPP
#undef DISTILL_SIMD_PAIRED_EXPONENTIAL_INL_HPP
#else
#define DISTILL_SIMD_PAIRED_EXPONENTIAL_INL_HPP
#endif

#include <cmath>
#include <distill/simd/exponential-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// From logits to exponents of 2: teacher * teacher_scale - reference, and the same for the student with a reference
// that is `shift` lower. Any references within a few units of the maxima serve.
template <class T>
struct PairScale {
  T teacher_scale, student_scale;
  T reference = 0, shift = 0;

  // student exponent = student * student_scale - (reference - shift)
  void RefersTo(T teacher_maximum, T student_maximum) {
    reference = teacher_maximum * teacher_scale;
    shift = teacher_scale == student_scale ? (teacher_maximum - student_maximum) * teacher_scale
                                           : reference - student_maximum * student_scale;
  }
};

// The same as vectors: one row's scale in every lane, or a row's in each.
template <class V>
struct PairScaleVectors {
  V teacher_scale, student_scale;
  V teacher_origin, student_origin;  // added to the scaled logits
  V ratio_origin;                    // their difference, teacher - student
};

template <class D>
HWY_INLINE PairScaleVectors<hn::Vec<D>> VectorsOf(D d, const PairScale<Real<D>>& scale) {
  return {hn::Set(d, scale.teacher_scale), hn::Set(d, scale.student_scale), hn::Set(d, -scale.reference),
          hn::Set(d, scale.shift - scale.reference), hn::Set(d, -scale.shift)};
}

template <class V>
struct Pair {
  V log2_ratio;   // teacher exponent - student exponent
  V larger;       // the larger exponent
  V teacher;      // 2^teacher exponent
  V difference;   // 2^student exponent - 2^teacher exponent
};

// kSame: one temperature for both. kMasked: logits may be -inf; without it they are finite, or the results are not.
template <bool kSame, class D, class V>
HWY_INLINE V Log2Ratio(D, V t, V z, const PairScaleVectors<V>& scale) {
  // With one temperature the logits are subtracted first: exactly, when they are nearly equal.
  if constexpr (kSame)
    return hn::MulAdd(hn::Sub(t, z), scale.teacher_scale, scale.ratio_origin);
  else
    return hn::MulAdd(t, scale.teacher_scale, hn::NegMulAdd(z, scale.student_scale, scale.ratio_origin));
}

template <bool kSame, bool kMasked, class D, class V>
HWY_INLINE Pair<V> PairedExp2(D d, V t, V z, const PairScaleVectors<V>& scale) {
  const V zero = hn::Zero(d);
  const V y = hn::MulAdd(t, scale.teacher_scale, scale.teacher_origin);
  Pair<V> pair;
  pair.log2_ratio = Log2Ratio<kSame>(d, t, z, scale);
  pair.larger = hn::Sub(y, hn::Min(pair.log2_ratio, zero));
  if constexpr (kMasked) {
    const V masked = hn::Neg(hn::Inf(d));
    const auto no_teacher = hn::Eq(t, masked);
    pair.larger = hn::IfThenElse(no_teacher, hn::MulAdd(z, scale.student_scale, scale.student_origin), pair.larger);
    // Both -inf: the pair is (0, 0) whatever ratio stands here, so it must not be the NaN of inf - inf.
    pair.log2_ratio = hn::IfThenZeroElse(hn::And(no_teacher, hn::Eq(z, masked)), pair.log2_ratio);
  }
  const V larger = Exp2(d, pair.larger);
  const V deficit = hn::Mul(larger, Exp2Minus1(d, hn::Neg(hn::Abs(pair.log2_ratio))));  // <= 0
  const V sign = hn::And(pair.log2_ratio, hn::SignBit(d));
  pair.teacher = hn::Add(larger, hn::IfThenElseZero(hn::Lt(pair.log2_ratio, zero), deficit));
  pair.difference = hn::Xor(deficit, sign);
  return pair;
}

// log(1 + x) and x - log(1 + x) for x > -1, in double, without cancellation near 0.
HWY_INLINE double MinusLog1p(double x) {
  if (x > -0.01 && x < 0.01)
    return x * x * (1.0 / 2 - x * (1.0 / 3 - x * (1.0 / 4 - x * (1.0 / 5 - x * (1.0 / 6 - x * (1.0 / 7 - x / 8))))));
  return x - std::log1p(x);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
