// Forward KL to a teacher whose label's probability is raised until it leads. Mixing a one-hot distribution
// into a softmax is raising one logit, so the row is an ordinary one but for that.
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

// The label's logit with which its probability exceeds the largest other by the threshold, or its own if it
// does already. `largest` is the largest other logit.
template <class D>
HWY_INLINE Real<D> CorrectedLogit(D d, const Real<D>* logits, size_t classes, Real<D> own, Real<D> largest,
                                  Real<D> scale, double threshold) {
  using T = Real<D>;
  const T origin = -OrZero(own > largest ? own : largest) * scale;
  const double sum = SumOfExponentials(d, logits, classes, scale, origin);
  const auto probability = [&](T logit) {
    return std::exp2(static_cast<double>(logit) * static_cast<double>(scale) + static_cast<double>(origin)) /
           sum;
  };
  const double label = probability(own), other = probability(largest);
  if (label - other >= threshold) return own;
  // p' = (1 - λ) p + λ onehot, λ = (other - label + τ) / (1 + other - label): relative to 1 - λ the label has
  const double lifted = other + threshold * (1 + other - label) / (1 - threshold);
  return static_cast<T>((std::log2(lifted * sum) - static_cast<double>(origin)) / static_cast<double>(scale));
}

template <class D>
HWY_NOINLINE double CorrectedKlRow(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label,
                                   const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  const PairScale<T> scale = ScaleOf<T>(term);
  const T largest = LargestBut(d, row.teacher, row.classes, label);
  const T lifted = CorrectedLogit(d, row.teacher, row.classes, row.teacher[label], largest,
                                  scale.teacher_scale, term.alpha);
  const T maximum = OrZero(lifted > largest ? lifted : largest);
  return KlRow(d, scale, row, scratch, {label, lifted, row.student[label]}, maximum, factor);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
