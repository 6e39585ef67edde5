// Forward KL of rows whose logits are not simply those in memory: a label left out or lifted, logits
// interpolated or standardised. Every such loss forms its pairs of exponentials vector by vector; summing
// them, the value and the gradient are here.
#if defined(DISTILL_SIMD_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_KL_ROWS_INL_HPP
#endif

#include <cmath>
#include <distill/simd/pair_sums-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Σ e, Σ other and Σ e w of the pairs that pair_at(j, count) forms; they stay in scratch.
template <class D, class F>
HWY_INLINE RowSums SumPairs(D d, size_t classes, const RowScratch<Real<D>>& scratch, F pair_at) {
  using V = hn::Vec<D>;
  const V zero = hn::Zero(d);
  WideSum<D> teacher(d), other(d), weighted(d);
  PairSums<V> block{zero, zero, zero};
  ForEachVector(
      d, classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const Pair<V> pair = pair_at(j, count);
        hn::StoreU(pair.teacher, d, scratch.exponentials + j);
        hn::StoreU(pair.other, d, scratch.others + j);
        block.teacher = hn::Add(block.teacher, pair.teacher);
        block.other = hn::Add(block.other, pair.other);
        block.weighted = hn::Add(block.weighted, ProductOrZero(d, pair.teacher, pair.ratio));
      },
      [&]() HWY_ATTR {
        teacher.Add(d, block.teacher);
        other.Add(d, block.other);
        weighted.Add(d, block.weighted);
        block = {zero, zero, zero};
      });
  return {teacher.Total(d), other.Total(d), weighted.Total(d)};
}

// One class that is read with other logits than those in memory.
template <class T>
struct ReadLabel {
  size_t label;
  T teacher, student;
};

template <class D>
HWY_INLINE hn::Vec<D> WithLane(D d, hn::Vec<D> v, size_t lane, Real<D> value) {
  using T = Real<D>;
  return hn::IfThenElse(hn::Eq(hn::Iota(d, T{0}), hn::Set(d, static_cast<T>(lane))), hn::Set(d, value), v);
}

// The pair of each vector of a row.
template <Form kForm, bool kSame, class D>
HWY_INLINE auto PairsOfRow(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale,
                           const ReadLabel<Real<D>>& own) {
  using V = hn::Vec<D>;
  return [d, &row, own, vectors = VectorsOf(d, scale)](size_t j, size_t count) HWY_ATTR {
    V t = LoadLogits(d, row.teacher + j, count), z = LoadLogits(d, row.student + j, count);
    if (HWY_UNLIKELY(own.label - j < count)) {
      t = WithLane(d, t, own.label - j, own.teacher);
      z = WithLane(d, z, own.label - j, own.student);
    }
    Pair<V> pair = PairInForm<kForm, kSame, true>(d, t, z, vectors);
    // Without the origin, which may be large and would be rounded in every product.
    if constexpr (kForm == Form::kApart) pair.ratio = hn::Add(pair.ratio, vectors.ratio_origin);
    return pair;
  };
}

template <Form kForm, bool kSame, class D>
HWY_INLINE RowSums SumRow(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale,
                          const RowScratch<Real<D>>& scratch, const ReadLabel<Real<D>>& own) {
  RowSums sums = SumPairs(d, row.classes, scratch, PairsOfRow<kForm, kSame>(d, row, scale, own));
  if (kForm == Form::kApart) sums.weighted -= static_cast<double>(scale.ratio_origin) * sums.teacher;
  return sums;
}

// The largest logit of the classes but one; -inf if there is none above it.
template <class D>
HWY_INLINE Real<D> LargestBut(D d, const Real<D>* p, size_t n, size_t label) {
  const Real<D> before = LargestLogit(d, p, label), after = LargestLogit(d, p + label + 1, n - label - 1);
  return before > after ? before : after;
}

// gradient (+)= other * other_factor + teacher's * teacher_factor
template <class D>
HWY_INLINE void StorePairs(D d, const RowView<Real<D>>& row, const RowScratch<Real<D>>& scratch,
                           double other_factor, double teacher_factor) {
  using T = Real<D>;
  const auto a = hn::Set(d, static_cast<T>(other_factor)), b = hn::Set(d, static_cast<T>(teacher_factor));
  ForEachVector(d, row.classes, [&](size_t j, size_t count) HWY_ATTR {
    const auto e = hn::LoadU(d, scratch.exponentials + j), other = hn::LoadU(d, scratch.others + j);
    StoreGradient(d, row, j, count, hn::MulAdd(other, a, hn::Mul(e, b)));
  });
}

// A value, and whether it and a gradient can be had in the form it was computed in.
struct FormValue {
  double value;
  bool kept;
};

template <Form kForm>
HWY_INLINE FormValue Judged(double value, double enough = kCloseValue) {
  return {value, !(kForm == Form::kApart && value < enough)};
}

// A float row that is not resolved is evaluated again in double, and its gradient must not be written before.
template <class T>
HWY_INLINE bool StoresGradient(const RowView<T>& row, const FormValue& result) {
  return row.gradient != nullptr && result.kept && (sizeof(T) == 8 || std::isfinite(result.value));
}

// NaN if the value is, else 0: what makes the whole gradient of a row NaN.
HWY_INLINE double PoisonOf(double value) { return std::isnan(value) ? value : 0; }

// Calls evaluate(form, same), which returns a FormValue, in the form that suits the row, and again in the
// other if the first did not keep its digits.
template <class D, class F>
HWY_INLINE double EvaluateInForm(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale,
                                 F evaluate) {
  using Apart = std::integral_constant<Form, Form::kApart>;
  using Close = std::integral_constant<Form, Form::kClose>;
  const bool same = scale.IsSame();
  FormValue result{0, false};
  if constexpr (sizeof(Real<D>) == 4) {
    // A row shorter than a vector shows nothing of its range beforehand.
    if (row.classes < hn::Lanes(d) || FormOf(d, row, scale) == Form::kApart)
      result = same ? evaluate(Apart(), std::true_type()) : evaluate(Apart(), std::false_type());
  }
  if (!result.kept)
    result = same ? evaluate(Close(), std::true_type()) : evaluate(Close(), std::false_type());
  return result.value < 0 ? 0 : result.value;  // rounding may leave a value of nearly 0 below it; NaN stays
}

// Forward KL from the sums of a row's pairs; NaN where one of them has no probabilities.
template <Form kForm>
HWY_INLINE double KlOf(const RowSums& sums, const RowResult& result) {
  const double student = kForm == Form::kApart ? sums.other : sums.teacher + sums.other;
  if (student == 0) return std::numeric_limits<double>::quiet_NaN();
  return result.log_ratio + std::log1p(result.excess);
}

// Forward KL of a row and its gradient, from the sums of its pairs.
template <Form kForm, class D>
HWY_INLINE FormValue FinishKl(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale,
                              const RowScratch<Real<D>>& scratch, const RowSums& sums, double factor) {
  const RowResult result = ResultOf<kForm>(sums, scale);
  const FormValue value = Judged<kForm>(KlOf<kForm>(sums, result));
  if (StoresGradient(row, value)) {
    factor += PoisonOf(value.value);
    StorePairs(d, row, scratch, factor * result.other_norm, factor * result.teacher_norm);
  }
  return value;
}

// The same of a row that differs from memory in one class at most.
template <class D>
HWY_INLINE double KlRow(D d, PairScale<Real<D>> scale, const RowView<Real<D>>& row,
                        const RowScratch<Real<D>>& scratch, const ReadLabel<Real<D>>& own,
                        Real<D> teacher_maximum, double factor) {
  scale.RefersTo(teacher_maximum, MaximumOrZero(d, row.student, row.classes));
  return EvaluateInForm(d, row, scale, [&](auto form, auto same) HWY_ATTR {
    const RowSums sums = SumRow<form(), same()>(d, row, scale, scratch, own);
    return FinishKl<form()>(d, row, scale, scratch, sums, factor);
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
