// Forward KL to a teacher whose label's probability is raised until it leads. Mixing a one-hot distribution
// into a softmax raises one class relative to all others, so the row is an ordinary one but for that.
#if defined(DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_CORRECTED_KL_ROWS_INL_HPP
#endif

#include <distill/simd/kl_slopes-inl.hpp>

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

// How a row is corrected.
template <class T>
struct Correction {
  PairScale<T> scale;   // of the corrected row
  T maximum;            // the teacher's largest logit
  T largest;            // that of the other classes
  double label, other;  // probabilities before, of the label and of the largest other
  double sum;           // of the teacher's exponentials before
  double before;        // their origin
  bool lifts;
  double exponent;  // log2 of the lifted label's exponential
};

template <class D>
HWY_INLINE Correction<Real<D>> CorrectionOf(D d, const loss_term& term, const RowView<Real<D>>& row,
                                            size_t label) {
  using T = Real<D>;
  Correction<T> c{};
  c.scale = ScaleOf<T>(term);
  const T own = row.teacher[label];
  c.largest = LargestBut(d, row.teacher, row.classes, label);
  c.maximum = OrZero(own > c.largest ? own : c.largest);
  const T student = MaximumOrZero(d, row.student, row.classes);
  c.scale.RefersTo(c.maximum, student);
  c.before = c.scale.teacher_origin;
  c.sum = SumOfExponentials(d, row.teacher, row.classes, c.scale.teacher_scale, c.scale.teacher_origin);
  const auto probability = [&](T logit) {
    const double exponent = static_cast<double>(logit) * static_cast<double>(c.scale.teacher_scale);
    return std::exp2(exponent + c.before) / c.sum;
  };
  c.label = probability(own);
  c.other = probability(c.largest);
  c.lifts = !(c.label - c.other >= term.alpha);
  if (!c.lifts) return c;
  // Relative to the lifted label, which may exceed the others by far.
  const double exponent = std::log2(LiftedShare(c.label, c.other, term.alpha) * c.sum);
  const double lift = exponent / static_cast<double>(c.scale.teacher_scale);
  c.scale.RefersTo(static_cast<T>(static_cast<double>(c.maximum) + lift), student);
  c.exponent = exponent + (static_cast<double>(c.scale.teacher_origin) - c.before);
  return c;
}

template <class D>
HWY_NOINLINE double CorrectedKlRow(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label,
                                   const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  const Correction<T> c = CorrectionOf(d, term, row, label);
  const ReadLabel<T> none{row.classes, T{0}, T{0}};
  if (!c.lifts) return KlRow(d, c.scale, row, scratch, none, c.maximum, factor);
  return LiftedRow(d, c.scale, row, label, c.exponent, scratch, factor);
}

// The logit that moves with the teacher's temperature as the lifted label does, which depends on the
// probabilities before; relative to the teacher's largest logit, as the mean of all logits is.
template <class T>
HWY_INLINE double LiftedLogit(const Correction<T>& c, double threshold, double label_logit, double mean) {
  const auto weighted = [](double probability, double logit) {
    return probability > 0 ? probability * logit : 0;
  };
  const double of_other = weighted(c.other, static_cast<double>(c.largest) - c.maximum - mean);
  const double of_label = weighted(c.label, label_logit - mean);
  return mean +
         (of_other - threshold * of_label) / (1 - threshold) / LiftedShare(c.label, c.other, threshold);
}

template <class D>
HWY_NOINLINE double CorrectedKlSlope(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label) {
  using T = Real<D>;
  constexpr T kMasked = -std::numeric_limits<T>::infinity();
  const Correction<T> c = CorrectionOf(d, term, row, label);
  if (!c.lifts) return KlSlope(d, term, c.scale, row, c.maximum);
  const T largest_student = MaximumOrZero(d, row.student, row.classes);
  return WithSame(c.scale, [&](auto same) HWY_ATTR {
    constexpr bool kSame = same();
    const ReadLabel<T> masked{label, kMasked, kMasked};
    KlMoments m = MomentsOfPairs(d, row, largest_student, c.maximum,
                                 PairsOfRow<Form::kClose, kSame>(d, row, c.scale, masked));
    const double z = row.student[label], t = static_cast<double>(row.teacher[label]) - c.maximum;
    const RowSums own = LabelSums<Form::kClose, kSame>(c.scale, c.exponent, z);
    // The others' exponentials have another origin now.
    const double moved = std::exp2(c.before - static_cast<double>(c.scale.teacher_origin));
    const double mean = (m.teacher.exponentials * moved + (c.label > 0 ? c.label * c.sum * t : 0)) / c.sum;
    m.Add(own, z - static_cast<double>(largest_student), LiftedLogit(c, term.alpha, t, mean));
    const RowResult result = ResultOf<Form::kClose>(m.sums, c.scale);
    return SlopeFrom(term, KlOf<Form::kClose>(m.sums, result), OfStudent(m, result), OfTarget(m, m.teacher));
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
