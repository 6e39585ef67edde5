// The slope of a row's loss by its temperatures, those of teacher and student moving together.
//
// A loss T_s T_t F depends on the logits by z / T_s and v / T_t only, so with u = df/dq and w = df/dp
//   dF/dT = - Σ z q (u - Σ q u) / T_s² - Σ v p (w - Σ p w) / T_t².
// Both sums stay as they are when a constant is added to the logits: those are taken relative to the largest.
#if defined(DISTILL_SIMD_TEMPERATURE_SLOPES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEMPERATURE_SLOPES_INL_HPP
#undef DISTILL_SIMD_TEMPERATURE_SLOPES_INL_HPP
#else
#define DISTILL_SIMD_TEMPERATURE_SLOPES_INL_HPP
#endif

#include <distill/simd/loss_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Σ x (g - b Σ g) for logits x, probabilities b, and g a slope times b.
template <class D>
class LogitSlope {
  using V = hn::Vec<D>;

 public:
  HWY_INLINE LogitSlope(D d, Real<D> maximum)
      : maximum_(hn::Set(d, maximum)), product_(d), slope_(d), logit_(d) {
    product_block_ = slope_block_ = logit_block_ = hn::Zero(d);
  }
  // A logit of -inf has probability 0 and counts for nothing.
  HWY_INLINE void Add(D d, V logit, V probability, V slope) {
    const V x = hn::IfThenZeroElse(hn::Eq(logit, hn::Neg(hn::Inf(d))), hn::Sub(logit, maximum_));
    product_block_ = hn::MulAdd(x, slope, product_block_);
    slope_block_ = hn::Add(slope_block_, slope);
    logit_block_ = hn::MulAdd(x, probability, logit_block_);
  }
  HWY_INLINE void Flush(D d) {
    product_.Add(d, product_block_);
    slope_.Add(d, slope_block_);
    logit_.Add(d, logit_block_);
    product_block_ = slope_block_ = logit_block_ = hn::Zero(d);
  }
  HWY_INLINE double Total(D d) const { return product_.Total(d) - slope_.Total(d) * logit_.Total(d); }

 private:
  V maximum_, product_block_, slope_block_, logit_block_;
  WideSum<D> product_, slope_, logit_;
};

// From both sums, and from F where its factor T_s T_t moves too.
HWY_INLINE double SlopeFrom(double s, double t, bool temperature_squared, double value, double student,
                            double teacher) {
  if (!std::isfinite(value)) return std::nan("");
  const double of_logits = -student / (s * s) - teacher / (t * t);
  return temperature_squared ? s * t * of_logits + (s + t) * value : of_logits;
}
HWY_INLINE double SlopeFrom(const loss_term& term, double value, double student, double teacher) {
  return SlopeFrom(term.temperature, term.teacher_temperature, term.temperature_squared, value, student,
                   teacher);
}

template <bool kSame, class Op, class D>
HWY_NOINLINE double PointwiseSlopeAs(Op any_row, D d, const loss_term& term, const PairScale<Real<D>>& scale,
                                     const RowView<Real<D>>& row, const RowScratch<Real<D>>& scratch) {
  using V = hn::Vec<D>;
  const PairNorms norms = ExponentiateRow<Form::kClose, kSame>(d, row, scale, scratch);
  const auto op = OperatorOfRow<Form::kClose, kSame>(any_row, d, row, scale, norms, scratch);
  LogitSlope<D> student(d, MaximumOrZero(d, row.student, row.classes));
  LogitSlope<D> teacher(d, MaximumOrZero(d, row.teacher, row.classes));
  WideSum<D> value(d);
  V value_block = hn::Zero(d);
  ForEachProbability<Form::kClose, kSame>(
      d, row, scale, norms, scratch,
      [&](size_t j, size_t count, const Probabilities<V>& x) HWY_ATTR {
        V f, qu;
        op(d, x, f, qu);
        value_block = hn::Add(value_block, f);
        student.Add(d, LoadLogits(d, row.student + j, count), x.q, qu);
        teacher.Add(d, LoadLogits(d, row.teacher + j, count), x.p, op.TeacherSlope(d, x));
      },
      [&]() HWY_ATTR {
        value.Add(d, value_block);
        value_block = hn::Zero(d);
        student.Flush(d);
        teacher.Flush(d);
      });
  const double sum = value.Total(d) + 0 * (norms.teacher_norm + norms.student_norm);
  return SlopeFrom(term, sum < 0 ? 0 : sum, student.Total(d), teacher.Total(d));
}

template <class Op, class D>
HWY_INLINE double PointwiseSlope(Op op, D d, const loss_term& term, const RowView<Real<D>>& row,
                                 const RowScratch<Real<D>>& scratch) {
  const auto scale = OfRow(ScaleOf<Real<D>>(term), row);
  return scale.IsSame() ? PointwiseSlopeAs<true>(op, d, term, scale, row, scratch)
                        : PointwiseSlopeAs<false>(op, d, term, scale, row, scratch);
}

template <class D>
HWY_NOINLINE double UserSlope(D d, const loss_term& term, const RowView<Real<D>>& row,
                              const RowScratch<Real<D>>& scratch) {
  using T = Real<D>;
  const PairNorms norms = UserProbabilities(d, term, row, scratch);
  const T* const p = scratch.exponentials;
  const T* const q = scratch.others;
  const auto total = [&](const T* logits, const T* probabilities) HWY_ATTR {
    LogitSlope<D> sums(d, MaximumOrZero(d, logits, row.classes));
    ForEachVector(
        d, row.classes,
        [&](size_t j, size_t count) HWY_ATTR {
          const auto probability = LoadUpTo(d, probabilities + j, count);
          const auto slope = LoadUpTo(d, scratch.slopes + j, count);
          sums.Add(d, LoadLogits(d, logits + j, count), probability, ProductOrZero(d, probability, slope));
        },
        [&]() HWY_ATTR { sums.Flush(d); });
    return sums.Total(d);
  };
  double value = 0 * (norms.teacher_norm + norms.student_norm);
  if constexpr (sizeof(T) == 4)
    value += term.function.evaluate_float(term.function.functor, p, q, scratch.slopes, row.classes);
  else
    value += term.function.evaluate_double(term.function.functor, p, q, scratch.slopes, row.classes);
  const double student = total(row.student, q);
  if constexpr (sizeof(T) == 4)
    term.function.teacher_slope_float(term.function.functor, p, q, scratch.slopes, row.classes);
  else
    term.function.teacher_slope_double(term.function.functor, p, q, scratch.slopes, row.classes);
  return SlopeFrom(term, value, student, total(row.teacher, p));
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
