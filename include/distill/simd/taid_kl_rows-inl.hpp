// Forward KL to a target between student and teacher: softmax((1 - t) student / T_s + t teacher / T_t), held
// constant.
//
// The log ratio of target and student is t times that of teacher and student but for a constant, and is
// computed so: it keeps its digits where the target is near the student.
#if defined(DISTILL_SIMD_TAID_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TAID_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_TAID_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_TAID_KL_ROWS_INL_HPP
#endif

#include <distill/simd/kl_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The target's exponent is teacher * scale.teacher_scale + student * share + scale.teacher_origin, and the
// log2 ratio of target and student, but for a constant, teacher * scale.teacher_scale - student *
// scale.student_scale.
template <class T>
struct InterpolatedScale {
  PairScale<T> scale;
  T share, student_scale, student_origin;

  InterpolatedScale(const PairScale<T>& plain, double t)
      : scale{static_cast<T>(t * static_cast<double>(plain.teacher_scale)),
              static_cast<T>(t * static_cast<double>(plain.student_scale))},
        share(plain.student_scale - scale.student_scale),
        student_scale(plain.student_scale),
        student_origin(0) {}

  // The origins, from the largest logits and the largest target exponent.
  void RefersTo(T teacher, T student, T target) {
    scale.teacher_origin = -target;
    scale.student_origin = student_origin = -student * student_scale;
    const double bound = static_cast<double>(teacher) * static_cast<double>(scale.teacher_scale) +
                         static_cast<double>(student) * static_cast<double>(share);
    // Usually the frame in which equal logits have a ratio of exactly 0. Where teacher and student have their
    // maxima apart, it would be far from the student's.
    constexpr double kFar = 16;
    if (bound - static_cast<double>(target) < kFar)
      scale.ratio_origin =
          scale.IsSame() ? student - teacher : student * scale.student_scale - teacher * scale.teacher_scale;
    else
      scale.ratio_origin =
          (scale.teacher_origin - student_origin) / (scale.IsSame() ? scale.teacher_scale : T{1});
  }
};

// The largest exponent of the target.
template <class D>
HWY_INLINE Real<D> LargestTarget(D d, const RowView<Real<D>>& row, const InterpolatedScale<Real<D>>& mixed) {
  const auto teacher_scale = hn::Set(d, mixed.scale.teacher_scale), share = hn::Set(d, mixed.share);
  auto largest = hn::Neg(hn::Inf(d));
  ForEachVector(d, row.classes, [&](size_t j, size_t count) HWY_ATTR {
    const auto t = LoadLogits(d, row.teacher + j, count), z = LoadLogits(d, row.student + j, count);
    const auto exponent = hn::MulAdd(t, teacher_scale, hn::Mul(z, share));
    largest = hn::IfThenElse(hn::Gt(exponent, largest), exponent, largest);
  });
  return OrZero(hn::GetLane(hn::MaxOfLanes(d, largest)));
}

// The pair of each vector, of target and student.
template <Form kForm, bool kSame, class D>
HWY_INLINE auto InterpolatedPairs(D d, const RowView<Real<D>>& row, const InterpolatedScale<Real<D>>& mixed) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const auto vectors = VectorsOf(d, mixed.scale);
  const V share = hn::Set(d, mixed.share), student_scale = hn::Set(d, mixed.student_scale);
  const T frame =
      kForm == Form::kApart
          ? mixed.student_origin
          : static_cast<T>(static_cast<double>(mixed.scale.teacher_origin) - mixed.scale.Log2RatioOrigin());
  const V student_origin = hn::Set(d, frame);
  // Apart, ratio and exponents must agree to the last bit: this difference is exact.
  const V rest = hn::Set(d, mixed.student_scale - mixed.share);
  // Without the origin, which may be large and would be rounded in every product.
  const V ratio_origin = hn::Set(d, static_cast<T>(mixed.scale.Log2RatioOrigin()));
  return [=, &row](size_t j, size_t count) HWY_ATTR {
    const V t = LoadLogits(d, row.teacher + j, count), z = LoadLogits(d, row.student + j, count);
    const V y = hn::MulAdd(t, vectors.teacher_scale, hn::MulAdd(z, share, vectors.teacher_origin));
    const V x = hn::MulAdd(z, student_scale, student_origin);
    if constexpr (kForm == Form::kApart) {
      const V ratio = hn::MulAdd(t, vectors.teacher_scale, hn::NegMulAdd(z, rest, ratio_origin));
      return Pair<V>{Exp2Fast(d, y), Exp2Fast(d, x), ratio};
    } else {
      // A target is masked where either logit is.
      const V masked = hn::Neg(hn::Inf(d));
      const V either = hn::IfThenElse(hn::Eq(z, masked), masked, t);
      return PairOfRatio<true>(d, either, z, y, x, Log2Ratio<kSame>(d, t, z, vectors));
    }
  };
}

template <Form kForm, bool kSame, class D>
HWY_INLINE RowSums SumInterpolated(D d, const RowView<Real<D>>& row, const InterpolatedScale<Real<D>>& mixed,
                                   const RowScratch<Real<D>>& scratch) {
  using T = Real<D>;
  RowSums sums = SumPairs(d, row.classes, scratch, InterpolatedPairs<kForm, kSame>(d, row, mixed));
  const T origin = static_cast<T>(mixed.scale.Log2RatioOrigin());
  if (kForm == Form::kApart) sums.weighted -= static_cast<double>(origin) * sums.teacher;
  // In the unit ResultOf expects.
  if (kForm == Form::kApart && kSame) sums.weighted /= static_cast<double>(mixed.scale.teacher_scale);
  return sums;
}

template <class D>
HWY_NOINLINE double TaidKlRow(D d, const loss_term& term, const RowView<Real<D>>& row,
                              const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  const PairScale<T> plain = ScaleOf<T>(term);
  const T student = MaximumOrZero(d, row.student, row.classes);
  if (term.alpha == 1) {
    const ReadLabel<T> none{row.classes, T{0}, T{0}};
    return KlRow(d, plain, row, scratch, none, MaximumOrZero(d, row.teacher, row.classes), factor);
  }
  if (term.alpha == 0) {  // the target is the student, whatever the teacher is
    RowView<T> itself = row;
    itself.teacher = row.student;
    const PairScale<T> scale{plain.student_scale, plain.student_scale};
    return KlRow(d, scale, itself, scratch, {row.classes, T{0}, T{0}}, student, factor);
  }
  InterpolatedScale<T> mixed(plain, term.alpha);
  mixed.RefersTo(MaximumOrZero(d, row.teacher, row.classes), student, LargestTarget(d, row, mixed));
  return EvaluateInForm(d, row, mixed.scale, [&](auto form, auto same) HWY_ATTR {
    const RowSums sums = SumInterpolated<form(), same()>(d, row, mixed, scratch);
    return FinishKl<form()>(d, row, mixed.scale, scratch, sums, factor);
  });
}

// By the temperatures: the target moves with the teacher's, and with the student's by its share.
template <class D>
HWY_NOINLINE double TaidKlSlope(D d, const loss_term& term, const RowView<Real<D>>& row) {
  using T = Real<D>;
  const PairScale<T> plain = ScaleOf<T>(term);
  const T student = MaximumOrZero(d, row.student, row.classes);
  const T teacher = MaximumOrZero(d, row.teacher, row.classes);
  if (term.alpha == 1) return KlSlope(d, term, plain, row, teacher);
  if (term.alpha == 0) {
    RowView<T> itself = row;
    itself.teacher = row.student;
    return KlSlope(d, term, {plain.student_scale, plain.student_scale}, itself, student);
  }
  InterpolatedScale<T> mixed(plain, term.alpha);
  mixed.RefersTo(teacher, student, LargestTarget(d, row, mixed));
  return WithSame(mixed.scale, [&](auto same) HWY_ATTR {
    const KlMoments m =
        MomentsOfPairs(d, row, student, teacher, InterpolatedPairs<Form::kClose, same()>(d, row, mixed));
    const RowResult result = ResultOf<Form::kClose>(m.sums, mixed.scale);
    return SlopeFrom(term, KlOf<Form::kClose>(m.sums, result),
                     OfStudent(m, result) + (1 - term.alpha) * OfTarget(m, m.student),
                     term.alpha * OfTarget(m, m.teacher));
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
