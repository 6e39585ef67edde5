// Forward KL to a teacher whose label's probability is raised until it leads. Mixing a one-hot distribution
// into a softmax raises one class relative to all others, so the row is an ordinary one but for that.
#if defined(DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP
#endif

#include <distill/simd/kl_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Σ 2^(logit * scale + origin).
template <class D>
HWY_INLINE double SumOfExponentials(D d, const Real<D>* logits, size_t classes, Real<D> scale,
                                    Real<D> origin) {
  const auto s = hn::Set(d, scale), o = hn::Set(d, origin);
  WideSum<D> sum(d);
  auto block = hn::Zero(d);
  ForEachVector(
      d, classes,
      [&](size_t j, size_t count)
          HWY_ATTR { block = hn::Add(block, Exp2(d, hn::MulAdd(LoadLogits(d, logits + j, count), s, o))); },
      [&]() HWY_ATTR {
        sum.Add(d, block);
        block = hn::Zero(d);
      });
  return sum.Total(d);
}

// The label's probability, relative to what the others keep of theirs, with which it exceeds the largest of
// them by the threshold. From the probabilities as they were.
HWY_INLINE double LiftedShare(double label, double largest, double threshold) {
  // p' = (1 - λ) p + λ onehot, λ = (largest - label + τ) / (1 + largest - label): p'_label / (1 - λ) is
  return largest + threshold * (1 + largest - label) / (1 - threshold);
}

// The label's part of a row's sums, in double, with this log2 of the teacher's exponential.
template <Form kForm, bool kSame, class T>
HWY_INLINE RowSums LabelSums(const PairScale<T>& scale, double exponent, double student) {
  const double teacher_scale = scale.teacher_scale, student_scale = scale.student_scale;
  const double teacher_origin = scale.teacher_origin, e = std::exp2(exponent);
  if constexpr (kForm == Form::kApart) {
    const double logit = (exponent - teacher_origin) / teacher_scale;
    const double ratio = kSame ? logit - student : exponent - teacher_origin - student * student_scale;
    return {e, std::exp2(student * student_scale + static_cast<double>(scale.student_origin)), e * ratio};
  } else {
    const double ratio = exponent - (student * student_scale + teacher_origin - scale.Log2RatioOrigin());
    return {e, e * std::expm1(-kLn2 * ratio), e * ratio};
  }
}

// The row with its label at another probability: left out of the vectors, so that nothing of it is rounded to
// a logit.
template <class D>
HWY_INLINE double LiftedRow(D d, const PairScale<Real<D>>& scale, const RowView<Real<D>>& row, size_t label,
                            double exponent, const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  constexpr T kMasked = -std::numeric_limits<T>::infinity();
  const double student = row.student[label];
  return EvaluateInForm(d, row, scale, [&](auto form, auto same) HWY_ATTR {
    RowSums sums = SumRow<form(), same()>(d, row, scale, scratch, {label, kMasked, kMasked});
    const RowSums own = LabelSums<form(), same()>(scale, exponent, student);
    sums = {sums.teacher + own.teacher, sums.other + own.other, sums.weighted + own.weighted};
    const FormValue value = FinishKl<form()>(d, row, scale, scratch, sums, factor);
    if (StoresGradient(row, value)) {
      const RowResult result = ResultOf<form()>(sums, scale);
      const double slope = own.other * result.other_norm + own.teacher * result.teacher_norm;
      row.gradient[label] += static_cast<T>(factor * slope);
    }
    return value;
  });
}

template <class D>
HWY_NOINLINE double CorrectedKlRow(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label,
                                   const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  PairScale<T> scale = ScaleOf<T>(term);
  const T own = row.teacher[label], largest = LargestBut(d, row.teacher, row.classes, label);
  const T maximum = OrZero(own > largest ? own : largest);
  const T student = MaximumOrZero(d, row.student, row.classes);
  scale.RefersTo(maximum, student);
  const double sum =
      SumOfExponentials(d, row.teacher, row.classes, scale.teacher_scale, scale.teacher_origin);
  const auto probability = [&](T logit) {
    const double exponent = static_cast<double>(logit) * static_cast<double>(scale.teacher_scale);
    return std::exp2(exponent + static_cast<double>(scale.teacher_origin)) / sum;
  };
  const double p = probability(own), other = probability(largest);
  if (p - other >= term.alpha) {
    const ReadLabel<T> none{row.classes, T{0}, T{0}};
    return KlRow(d, scale, row, scratch, none, maximum, factor);
  }
  // Relative to the lifted label, which may exceed the others by far.
  const double exponent = std::log2(LiftedShare(p, other, term.alpha) * sum);
  const double before = scale.teacher_origin, lift = exponent / static_cast<double>(scale.teacher_scale);
  scale.RefersTo(static_cast<T>(static_cast<double>(maximum) + lift), student);
  const double lifted = exponent + (static_cast<double>(scale.teacher_origin) - before);
  return LiftedRow(d, scale, row, label, lifted, scratch, factor);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
