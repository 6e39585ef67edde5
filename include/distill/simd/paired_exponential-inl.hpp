// The exponentials of teacher and student logits of the same classes, in one of two forms.
//
// Apart: both exponentials. Their difference is left to a subtraction, which is good enough where the distributions
// differ visibly.
// Close: the teacher's exponential, and the difference of the two with full relative accuracy however nearly equal
// they are. With b the larger of the two exponents and w = log2 of their ratio, the larger exponential is 2^b and
// the smaller is 2^b (1 + m), m = 2^-|w| - 1 in (-1, 0]: the difference 2^b m never comes from a subtraction of
// nearly equal numbers, and nothing overflows however far the two lie apart. It costs about twice as much.
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

enum class Form { kApart, kClose };

// From logits to exponents of 2: logit * scale + origin, with origins that bring both maxima near 0. Any within a few
// units serve, and the accumulated results say which were used.
template <class T>
struct PairScale {
  T teacher_scale, student_scale;
  T teacher_origin = 0, student_origin = 0;
  T ratio_origin = 0;  // form kClose: see Log2Ratio

  bool IsSame() const { return teacher_scale == student_scale; }

  void RefersTo(T teacher_maximum, T student_maximum) {
    teacher_origin = -teacher_maximum * teacher_scale;
    student_origin = -student_maximum * student_scale;
    ratio_origin = IsSame() ? student_maximum - teacher_maximum : teacher_origin - student_origin;
  }
  // What Log2Ratio adds to the ratio of the scaled logits.
  double Log2RatioOrigin() const {
    return IsSame() ? static_cast<double>(ratio_origin) * static_cast<double>(teacher_scale) : ratio_origin;
  }
};

// The same as vectors: one row's scale in every lane, or a row's in each.
template <class V>
struct PairScaleVectors {
  V teacher_scale, student_scale, teacher_origin, student_origin, ratio_origin;
};

template <class D>
HWY_INLINE PairScaleVectors<hn::Vec<D>> VectorsOf(D d, const PairScale<Real<D>>& scale) {
  return {hn::Set(d, scale.teacher_scale), hn::Set(d, scale.student_scale), hn::Set(d, scale.teacher_origin),
          hn::Set(d, scale.student_origin), hn::Set(d, scale.ratio_origin)};
}

// log2 of the ratio of the exponentials in the frame of form kClose. With one temperature the logits are subtracted
// first: exactly, when they are nearly equal, and to 0 when they differ by a constant.
template <bool kSame, class D, class V>
HWY_INLINE V Log2Ratio(D, V t, V z, const PairScaleVectors<V>& scale) {
  if constexpr (kSame)
    return hn::Mul(hn::Add(hn::Sub(t, z), scale.ratio_origin), scale.teacher_scale);
  else
    return hn::MulAdd(t, scale.teacher_scale, hn::NegMulAdd(z, scale.student_scale, scale.ratio_origin));
}

template <class V>
struct Pair {
  V teacher;  // 2^teacher exponent
  V other;    // kApart: 2^student exponent; kClose: 2^student exponent - 2^teacher exponent
  V ratio;    // kClose: log2 of the ratio
};

// kFast: see Exp2Fast.
template <bool kFast, class D, class V>
HWY_INLINE Pair<V> PairApart(D d, V t, V z, const PairScaleVectors<V>& scale) {
  const V y = hn::MulAdd(t, scale.teacher_scale, scale.teacher_origin);
  const V x = hn::MulAdd(z, scale.student_scale, scale.student_origin);
  if constexpr (kFast)
    return {Exp2Fast(d, y), Exp2Fast(d, x), hn::Zero(d)};
  else
    return {Exp2(d, y), Exp2(d, x), hn::Zero(d)};
}

// The pair from the teacher's exponent y and the log2 of the ratio. kMasked: logits may be -inf; without it they are
// finite, or the results are not, and the student's exponent x is not read.
template <bool kMasked, class D, class V>
HWY_INLINE Pair<V> PairOfRatio(D d, V t, V z, V y, V x, V ratio) {
  const V zero = hn::Zero(d);
  V exponent = hn::Sub(y, hn::Min(ratio, zero));
  if constexpr (kMasked) {
    const V masked = hn::Neg(hn::Inf(d));
    const auto no_teacher = hn::Eq(t, masked);
    exponent = hn::IfThenElse(no_teacher, x, exponent);
    // Both -inf: the pair is (0, 0) whatever ratio stands here, so it must not be the NaN of inf - inf.
    ratio = hn::IfThenZeroElse(hn::And(no_teacher, hn::Eq(z, masked)), ratio);
  }
  const V larger = Exp2(d, exponent);
  const V deficit = hn::Mul(larger, Exp2Minus1(d, hn::Or(ratio, hn::SignBit(d))));  // <= 0
  const V teacher = hn::IfThenElse(hn::Lt(ratio, zero), hn::Add(larger, deficit), larger);
  return {teacher, hn::Xor(deficit, hn::And(ratio, hn::SignBit(d))), ratio};
}

// kSame: one temperature for both.
template <bool kSame, bool kMasked, class D, class V>
HWY_INLINE Pair<V> PairClose(D d, V t, V z, const PairScaleVectors<V>& scale) {
  const V y = hn::MulAdd(t, scale.teacher_scale, scale.teacher_origin);
  const V x = kMasked ? hn::MulAdd(z, scale.student_scale, scale.student_origin) : y;
  return PairOfRatio<kMasked>(d, t, z, y, x, Log2Ratio<kSame>(d, t, z, scale));
}

// Ranges of log2 ratios up to this are evaluated in form kClose from the start.
inline constexpr float kCloseRange = 3;

// Values below this, before T², are evaluated in form kClose whatever the range was: the error of form kApart
// is about 1e-7 of a value of 1.
inline constexpr double kCloseValue = 0.1;

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
