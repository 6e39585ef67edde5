// What one pass over a row of teacher and student logits adds up, and what it comes to.
//
// With e and s the exponentials of teacher and student, E and S their sums:
//   KL(p || q) = ln 2 (Σ e w / E) + log(S / E),  w = log2(e / s),      q - p = s / S - e / E.
// Nearly equal distributions lose their digits that way; for them (see paired_exponential-inl.hpp) D = s - e
// is at hand, H = Σ D / E, and neither of these cancels:
//   KL(p || q) = ln 2 (Σ e w / E) + log1p(H),                          q - p = D / S - e H / S.
#if defined(DISTILL_SIMD_PAIR_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_PAIR_SUMS_INL_HPP
#undef DISTILL_SIMD_PAIR_SUMS_INL_HPP
#else
#define DISTILL_SIMD_PAIR_SUMS_INL_HPP
#endif

#include <distill/simd/loss_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Σ e; Σ s or Σ D; Σ e w, in form kApart without scale and origin.
template <class V>
struct PairSums {
  V teacher, other, weighted;
};

// The ratio is the one Σ e w wants.
template <Form kForm, bool kSame, bool kMasked, class D, class V>
HWY_INLINE Pair<V> PairInForm(D d, V t, V z, const PairScaleVectors<V>& scale) {
  if constexpr (kForm == Form::kApart) {
    Pair<V> pair = PairApart<true>(d, t, z, scale);
    pair.ratio = kSame ? hn::Sub(t, z) : hn::MulSub(t, scale.teacher_scale, hn::Mul(z, scale.student_scale));
    return pair;
  } else {
    return PairClose<kSame, kMasked>(d, t, z, scale);
  }
}

template <Form kForm, bool kSame, bool kMasked, bool kStore, class D, class V>
HWY_INLINE void StreamVector(D d, V t, V z, const PairScaleVectors<V>& scale, Real<D>* exponentials,
                             Real<D>* others, PairSums<V>& sums) {
  Pair<V> pair = PairInForm<kForm, kSame, kMasked>(d, t, z, scale);
  if constexpr (kStore) {
    hn::StoreU(pair.teacher, d, exponentials);
    hn::StoreU(pair.other, d, others);
  }
  if constexpr (kMasked) pair.ratio = hn::IfThenZeroElse(hn::Eq(t, hn::Neg(hn::Inf(d))), pair.ratio);
  sums.teacher = hn::Add(sums.teacher, pair.teacher);
  sums.other = hn::Add(sums.other, pair.other);
  sums.weighted = hn::MulAdd(pair.teacher, pair.ratio, sums.weighted);
}

// The same for a row, in double.
struct RowSums {
  double teacher = 0, other = 0, weighted = 0;
};

struct RowResult {
  double log_ratio, excess;
  double teacher_norm, other_norm;  // q - p = other * other_norm + teacher * teacher_norm
};

template <Form kForm, class T>
HWY_INLINE RowResult ResultOf(const RowSums& sums, const PairScale<T>& scale) {
  RowResult result;
  const double inverse = 1 / sums.teacher;
  if constexpr (kForm == Form::kApart) {
    const double unit = scale.IsSame() ? static_cast<double>(scale.teacher_scale) : 1;
    const double origin = static_cast<double>(scale.teacher_origin) - scale.student_origin;
    result.log_ratio = kLn2 * (sums.weighted * inverse * unit + origin);
    result.excess = (sums.other - sums.teacher) * inverse;
    result.other_norm = 1 / sums.other;
    result.teacher_norm = -inverse;
  } else {
    result.log_ratio = kLn2 * sums.weighted * inverse;
    result.excess = sums.other * inverse;
    result.other_norm = 1 / (sums.teacher + sums.other);
    result.teacher_norm = -result.excess * result.other_norm;
  }
  return result;
}

HWY_INLINE bool IsResolved(const RowResult& result) {
  return std::isfinite(result.log_ratio) && result.excess > -1 && std::isfinite(result.excess);
}
// A value so small that form kApart has not kept its digits.
HWY_INLINE bool IsClose(const RowResult& result) {
  return std::abs(result.log_ratio) < 1 && result.log_ratio + std::log1p(result.excess) < kCloseValue;
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
