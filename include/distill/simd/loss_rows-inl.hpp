// Losses on one row of contiguous logits, in float or double.
#if defined(DISTILL_SIMD_LOSS_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_LOSS_ROWS_INL_HPP
#undef DISTILL_SIMD_LOSS_ROWS_INL_HPP
#else
#define DISTILL_SIMD_LOSS_ROWS_INL_HPP
#endif

#include <distill/simd/paired_exponential-inl.hpp>
#include <distill/simd/pointwise-inl.hpp>
#include <distill/simd/row_memory-inl.hpp>
#include <distill/simd/sums-inl.hpp>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls f(j, count) for each vector of a row, count < Lanes(d) only for the last, and flush() after each
// block of kBlockVectors and at the end.
template <class D, class F, class G>
HWY_INLINE void ForEachVector(D d, size_t n, F f, G flush) {
  const size_t lanes = hn::Lanes(d), block = lanes * kBlockVectors;
  for (size_t begin = 0; begin < n; begin += block) {
    const size_t end = HWY_MIN(n, begin + block);
    size_t j = begin;
    for (; j + lanes <= end; j += lanes) f(j, lanes);
    if (j < end) f(j, end - j);
    flush();
  }
}
template <class D, class F>
HWY_INLINE void ForEachVector(D d, size_t n, F f) {
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= n; j += lanes) f(j, lanes);
  if (j < n) f(j, n - j);
}

template <class D>
HWY_INLINE hn::Vec<D> LoadUpTo(D d, const Real<D>* p, size_t count) {
  return count == hn::Lanes(d) ? hn::LoadU(d, p) : LoadPart(d, p, count);
}

// Logits beyond the end of a row read as -inf.
template <class D>
HWY_INLINE hn::Vec<D> LoadLogits(D d, const Real<D>* p, size_t count) {
  if (count == hn::Lanes(d)) return hn::LoadU(d, p);
  return hn::IfThenElse(hn::FirstN(d, count), LoadPart(d, p, count), hn::Neg(hn::Inf(d)));
}

template <class D>
HWY_INLINE void StoreUpTo(D d, hn::Vec<D> v, Real<D>* p, size_t count) {
  if (count == hn::Lanes(d))
    hn::StoreU(v, d, p);
  else
    StorePart(d, v, p, count);
}

// The largest logit, -inf if there is none. NaN is ignored.
template <class D>
HWY_INLINE Real<D> LargestLogit(D d, const Real<D>* p, size_t n) {
  using V = hn::Vec<D>;
  const auto larger = [](V v, V maximum) HWY_ATTR { return hn::IfThenElse(hn::Gt(v, maximum), v, maximum); };
  const size_t lanes = hn::Lanes(d);
  V a = hn::Neg(hn::Inf(d)), b = a, c = a, e = a;  // four, as each waits for itself
  size_t j = 0;
  for (; j + 4 * lanes <= n; j += 4 * lanes) {
    a = larger(hn::LoadU(d, p + j), a);
    b = larger(hn::LoadU(d, p + j + lanes), b);
    c = larger(hn::LoadU(d, p + j + 2 * lanes), c);
    e = larger(hn::LoadU(d, p + j + 3 * lanes), e);
  }
  for (; j < n; j += lanes) a = larger(LoadLogits(d, p + j, HWY_MIN(lanes, n - j)), a);
  return hn::GetLane(hn::MaxOfLanes(d, larger(larger(a, b), larger(c, e))));
}

// 0 in place of -inf: what can always be subtracted.
template <class T>
HWY_INLINE T OrZero(T maximum) {
  return maximum > -std::numeric_limits<T>::infinity() ? maximum : T{0};
}
template <class D>
HWY_INLINE Real<D> MaximumOrZero(D d, const Real<D>* p, size_t n) {
  return OrZero(LargestLogit(d, p, n));
}

// A row of the caller's, ready to be read, and where its gradient goes (null: nowhere).
template <class T>
struct RowView {
  const T* student;
  const T* teacher;
  T* gradient;
  size_t classes;
  bool add;  // to the gradient row instead of overwriting it
};

template <class T>
struct RowScratch {
  T* exponentials;          // of the teacher, then q u
  T* others;                // the student's, or the differences; then q
  T* slopes = nullptr;      // a user's df/dq
  T* candidates = nullptr;  // see adaptive_kl_rows-inl.hpp
  T* ranking = nullptr;     // see ranking_rows-inl.hpp
};

// gradient (+)= v
template <class D>
HWY_INLINE void StoreGradient(D d, const RowView<Real<D>>& row, size_t j, size_t count, hn::Vec<D> v) {
  if (row.add) v = hn::Add(v, LoadUpTo(d, row.gradient + j, count));
  StoreUpTo(d, v, row.gradient + j, count);
}

// What turns exponentials into probabilities: p = teacher * teacher_norm,
// q - p = difference * student_norm + teacher * norm_difference.
struct PairNorms {
  double teacher_sum;
  double teacher_norm, student_norm, norm_difference;
  double log_sum_ratio;  // log(student sum / teacher sum)
  double log2_teacher_sum, log2_student_sum;
};

HWY_INLINE PairNorms NormsOf(double teacher_sum, double difference_sum) {
  const double student_sum = teacher_sum + difference_sum;
  PairNorms norms;
  norms.teacher_norm = 1 / teacher_sum;
  norms.student_norm = 1 / student_sum;
  norms.teacher_sum = teacher_sum;
  norms.norm_difference = -difference_sum / (teacher_sum * student_sum);
  norms.log_sum_ratio = std::log1p(difference_sum / teacher_sum);
  norms.log2_teacher_sum = std::log2(teacher_sum);
  norms.log2_student_sum = std::log2(student_sum);
  return norms;
}

template <class T>
HWY_INLINE PairScale<T> ScaleOf(const loss_term& term) {
  return {static_cast<T>(kLog2e / term.teacher_temperature), static_cast<T>(kLog2e / term.temperature)};
}

// The same for a row. With one class the probability is 1 at any temperature: exactly, if they are the same.
template <class T>
HWY_INLINE PairScale<T> OfRow(PairScale<T> scale, const RowView<T>& row) {
  if (row.classes == 1) scale.teacher_scale = scale.student_scale;
  const hn::ScalableTag<T> d;
  scale.RefersTo(MaximumOrZero(d, row.teacher, row.classes), MaximumOrZero(d, row.student, row.classes));
  return scale;
}

// The form a row is evaluated in, judged by the range of log2 ratios at its start.
template <class D>
HWY_INLINE Form FormOf(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale) {
  constexpr size_t kSample = 256;
  const auto teacher_scale = hn::Set(d, scale.teacher_scale), student_scale = hn::Set(d, scale.student_scale);
  auto maximum = hn::Neg(hn::Inf(d)), minimum = hn::Inf(d);
  for (size_t j = 0; j + hn::Lanes(d) <= HWY_MIN(row.classes, kSample); j += hn::Lanes(d)) {
    const auto t = hn::LoadU(d, row.teacher + j), z = hn::LoadU(d, row.student + j);
    const auto ratio = hn::MulSub(t, teacher_scale, hn::Mul(z, student_scale));
    maximum = hn::Max(maximum, ratio);
    minimum = hn::Min(minimum, ratio);
  }
  const auto limit = hn::Set(d, Real<D>{kCloseRange});
  return hn::AllFalse(d, hn::Gt(hn::Sub(maximum, minimum), limit)) ? Form::kClose : Form::kApart;
}

// First pass: exponentials into scratch, their sums.
template <Form kForm, bool kSame, class D>
HWY_INLINE PairNorms ExponentiateRow(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale,
                                     const RowScratch<Real<D>>& scratch) {
  const auto vectors = VectorsOf(d, scale);
  WideSum<D> teacher_sum(d), other_sum(d);
  auto teacher_block = hn::Zero(d), other_block = hn::Zero(d);
  ForEachVector(
      d, row.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const auto t = LoadLogits(d, row.teacher + j, count), z = LoadLogits(d, row.student + j, count);
        const auto pair = kForm == Form::kApart ? PairApart<false>(d, t, z, vectors)
                                                : PairClose<kSame, true>(d, t, z, vectors);
        hn::StoreU(pair.teacher, d, scratch.exponentials + j);
        hn::StoreU(pair.other, d, scratch.others + j);
        teacher_block = hn::Add(teacher_block, pair.teacher);
        other_block = hn::Add(other_block, pair.other);
      },
      [&]() HWY_ATTR {
        teacher_sum.Add(d, teacher_block);
        other_sum.Add(d, other_block);
        teacher_block = other_block = hn::Zero(d);
      });
  const double teacher = teacher_sum.Total(d), other = other_sum.Total(d);
  return NormsOf(teacher, kForm == Form::kApart ? other - teacher : other);
}

// Second pass: calls f(j, count, probabilities) for each vector.
template <Form kForm, bool kSame, class D, class F, class G>
HWY_INLINE void ForEachProbability(D d, const RowView<Real<D>>& row, const PairScale<Real<D>>& scale,
                                   const PairNorms& norms, const RowScratch<Real<D>>& scratch, F f, G flush) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const auto set = [&](double value) HWY_ATTR { return hn::Set(d, static_cast<T>(value)); };
  const auto vectors = VectorsOf(d, scale);
  const double student_origin = kForm == Form::kApart
                                    ? static_cast<double>(scale.student_origin)
                                    : static_cast<double>(scale.teacher_origin) - scale.Log2RatioOrigin();
  const V ln2 = set(kLn2), teacher_log_origin = set(scale.teacher_origin - norms.log2_teacher_sum);
  const V student_log_origin = set(student_origin - norms.log2_student_sum);
  const V ratio_origin = set(kLn2 * (static_cast<double>(scale.teacher_origin) - scale.student_origin));
  const V log_sum_ratio = set(norms.log_sum_ratio);
  const V teacher_norm = set(norms.teacher_norm), student_norm = set(norms.student_norm);
  const V norm_difference = set(norms.norm_difference);
  ForEachVector(
      d, row.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const V t = LoadLogits(d, row.teacher + j, count), z = LoadLogits(d, row.student + j, count);
        const V e = hn::LoadU(d, scratch.exponentials + j), other = hn::LoadU(d, scratch.others + j);
        Probabilities<V> x;
        x.p = hn::Mul(e, teacher_norm);
        if constexpr (kForm == Form::kApart) {
          x.q = hn::Mul(other, student_norm);
          x.difference = hn::Sub(x.q, x.p);
          const V log2_ratio = kSame
                                   ? hn::Mul(hn::Sub(t, z), vectors.teacher_scale)
                                   : hn::MulSub(t, vectors.teacher_scale, hn::Mul(z, vectors.student_scale));
          x.origin_log_ratio = hn::MulAdd(log2_ratio, ln2, ratio_origin);
        } else {
          x.q = hn::Mul(hn::Add(e, other), student_norm);
          x.difference = hn::MulAdd(other, student_norm, hn::Mul(e, norm_difference));
          x.origin_log_ratio = hn::Mul(Log2Ratio<kSame>(d, t, z, vectors), ln2);
        }
        x.log_ratio = hn::Add(x.origin_log_ratio, log_sum_ratio);
        x.log_p = hn::Mul(hn::MulAdd(t, vectors.teacher_scale, teacher_log_origin), ln2);
        x.log_q = hn::Mul(hn::MulAdd(z, vectors.student_scale, student_log_origin), ln2);
        f(j, count, x);
      },
      flush);
}

// Third pass: the gradient factor (q u - q Σ q u) from q u and q in scratch.
template <class D>
HWY_INLINE void StoreSlopes(D d, const RowView<Real<D>>& row, const RowScratch<Real<D>>& scratch,
                            double mean_slope, double factor) {
  const auto k = hn::Set(d, static_cast<Real<D>>(factor));
  const auto shift = hn::Set(d, static_cast<Real<D>>(mean_slope));
  ForEachVector(d, row.classes, [&](size_t j, size_t count) HWY_ATTR {
    const auto qu = hn::LoadU(d, scratch.exponentials + j), q = hn::LoadU(d, scratch.others + j);
    StoreGradient(d, row, j, count, hn::Mul(k, hn::NegMulAdd(q, shift, qu)));
  });
}

// The operator for one row, of which some want to see the exponentials first.
template <Form kForm, bool kSame, class Op, class D>
HWY_INLINE Op OperatorOfRow(Op op, D, const RowView<Real<D>>&, const PairScale<Real<D>>&, const PairNorms&,
                            const RowScratch<Real<D>>&) {
  return op;
}

// Σ f of a pointwise divergence, and its gradient times factor unless the value is not finite. In form kApart
// a value that should have been evaluated in form kClose comes back without its gradient.
template <Form kForm, bool kSame, class Op, class D>
HWY_INLINE double PointwiseRowAs(Op any_row, D d, const PairScale<Real<D>>& scale,
                                 const RowView<Real<D>>& row, const RowScratch<Real<D>>& scratch,
                                 double factor) {
  using V = hn::Vec<D>;
  const PairNorms norms = ExponentiateRow<kForm, kSame>(d, row, scale, scratch);
  const auto op = OperatorOfRow<kForm, kSame>(any_row, d, row, scale, norms, scratch);
  WideSum<D> value(d), mean_slope(d);
  V value_block = hn::Zero(d), slope_block = hn::Zero(d);
  ForEachProbability<kForm, kSame>(
      d, row, scale, norms, scratch,
      [&](size_t j, size_t, const Probabilities<V>& x) HWY_ATTR {
        V f, qu;
        op(d, x, f, qu);
        value_block = hn::Add(value_block, f);
        slope_block = hn::Add(slope_block, qu);
        hn::StoreU(qu, d, scratch.exponentials + j);
        hn::StoreU(x.q, d, scratch.others + j);
      },
      [&]() HWY_ATTR {
        value.Add(d, value_block);
        mean_slope.Add(d, slope_block);
        value_block = slope_block = hn::Zero(d);
      });
  // A sum that is not finite in the norms has not reached the operators' selections.
  const double sum = value.Total(d) + 0 * (norms.teacher_norm + norms.student_norm);
  const bool resolved = std::isfinite(sum) || sizeof(Real<D>) == 8;
  const bool again = kForm == Form::kApart && sum < kCloseValue;
  if (row.gradient != nullptr && resolved && !again) {
    const double poison = std::isnan(sum) ? sum : 0;
    StoreSlopes(d, row, scratch, mean_slope.Total(d), factor + poison);
  }
  return sum;
}

template <bool kSame, class Op, class D>
HWY_INLINE double PointwiseRowAtOrigins(Op op, D d, const PairScale<Real<D>>& scale,
                                        const RowView<Real<D>>& row, const RowScratch<Real<D>>& scratch,
                                        double factor) {
  if constexpr (sizeof(Real<D>) == 4) {
    if (FormOf(d, row, scale) == Form::kApart) {
      const double value = PointwiseRowAs<Form::kApart, kSame>(op, d, scale, row, scratch, factor);
      if (!(value < kCloseValue)) return value;
    }
  }
  return PointwiseRowAs<Form::kClose, kSame>(op, d, scale, row, scratch, factor);
}

template <class Op, class D>
HWY_NOINLINE double PointwiseRow(Op op, D d, const PairScale<Real<D>>& pair, const RowView<Real<D>>& row,
                                 const RowScratch<Real<D>>& scratch, double factor) {
  const auto scale = OfRow(pair, row);
  const double value = scale.IsSame() ? PointwiseRowAtOrigins<true>(op, d, scale, row, scratch, factor)
                                      : PointwiseRowAtOrigins<false>(op, d, scale, row, scratch, factor);
  return value < 0 ? 0 : value;  // rounding may leave a divergence of nearly 0 below it; NaN stays
}

// p and q of a row, for a user's functor, in place of the exponentials.
template <class D>
HWY_INLINE PairNorms UserProbabilities(D d, const loss_term& term, const RowView<Real<D>>& row,
                                       const RowScratch<Real<D>>& scratch) {
  const auto scale = OfRow(ScaleOf<Real<D>>(term), row);
  // Form kApart: a functor needs p and q to their own precision, however small one is beside the other.
  const PairNorms norms = ExponentiateRow<Form::kApart, false>(d, row, scale, scratch);
  ForEachProbability<Form::kApart, false>(
      d, row, scale, norms, scratch,
      [&](size_t j, size_t, const Probabilities<hn::Vec<D>>& x) HWY_ATTR {
        hn::StoreU(x.p, d, scratch.exponentials + j);
        hn::StoreU(x.q, d, scratch.others + j);
      },
      [] {});
  return norms;
}

// The same for a user's functor, which sees p and q of the whole row at once.
template <class D>
HWY_NOINLINE double UserRow(D d, const loss_term& term, const RowView<Real<D>>& row,
                            const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const PairNorms norms = UserProbabilities(d, term, row, scratch);
  double sum;
  T* slopes = row.gradient != nullptr ? scratch.slopes : nullptr;
  if constexpr (sizeof(T) == 4)
    sum = term.function.evaluate_float(term.function.functor, scratch.exponentials, scratch.others, slopes,
                                       row.classes);
  else
    sum = term.function.evaluate_double(term.function.functor, scratch.exponentials, scratch.others, slopes,
                                        row.classes);
  sum += 0 * (norms.teacher_norm + norms.student_norm);
  if (row.gradient == nullptr || (!std::isfinite(sum) && sizeof(T) == 4)) return sum;
  WideSum<D> mean_slope(d);
  ForEachVector(d, row.classes, [&](size_t j, size_t count) HWY_ATTR {
    const V q = LoadUpTo(d, scratch.others + j, count);
    const V u = LoadUpTo(d, scratch.slopes + j, count);
    const V qu = ProductOrZero(d, q, u);
    mean_slope.Add(d, qu);
    hn::StoreU(qu, d, scratch.exponentials + j);
  });
  StoreSlopes(d, row, scratch, mean_slope.Total(d), factor);
  return sum;
}

// Cross-entropy of one row with a hard label, already checked to be a class.
template <class D>
HWY_NOINLINE double CrossEntropyRow(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label,
                                    const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  const T maximum = MaximumOrZero(d, row.student, row.classes);
  const auto scale = hn::Set(d, static_cast<T>(kLog2e / term.temperature));
  const auto reference = hn::Set(d, maximum);
  WideSum<D> sum(d), logits(d);
  auto block = hn::Zero(d), logit_block = hn::Zero(d);
  ForEachVector(
      d, row.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const auto x = hn::Sub(LoadLogits(d, row.student + j, count), reference);
        const auto e = Exp2(d, hn::Mul(x, scale));
        hn::StoreU(e, d, scratch.exponentials + j);
        block = hn::Add(block, e);
        logit_block = hn::Add(logit_block, hn::IfThenElseZero(hn::FirstN(d, count), x));
      },
      [&]() HWY_ATTR {
        sum.Add(d, block);
        logits.Add(d, logit_block);
        block = logit_block = hn::Zero(d);
      });
  const double total = sum.Total(d), smoothing = term.label_smoothing;
  const double own =
      (static_cast<double>(row.student[label]) - static_cast<double>(maximum)) / term.temperature;
  double value = std::log(total) - (1 - smoothing) * own;
  if (smoothing > 0)
    value -= smoothing * logits.Total(d) / (term.temperature * static_cast<double>(row.classes));
  value += 0 * (1 / total);
  if (row.gradient == nullptr || (!std::isfinite(value) && sizeof(T) == 4)) return value;
  const double poison = std::isnan(value) ? value : 0;
  const auto norm = hn::Set(d, static_cast<T>(factor / total + poison));
  const double uniform = factor * smoothing / static_cast<double>(row.classes);
  const auto shift = hn::Set(d, static_cast<T>(-uniform));
  ForEachVector(d, row.classes, [&](size_t j, size_t count) HWY_ATTR {
    StoreGradient(d, row, j, count, hn::MulAdd(hn::LoadU(d, scratch.exponentials + j), norm, shift));
  });
  row.gradient[label] -= static_cast<T>(factor * (1 - smoothing));
  return value;
}

template <class D>
HWY_NOINLINE double LogitMseRow(D d, const RowView<Real<D>>& row, double factor) {
  WideSum<D> sum(d);
  auto block = hn::Zero(d);
  ForEachVector(
      d, row.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const auto difference =
            hn::Sub(LoadUpTo(d, row.student + j, count), LoadUpTo(d, row.teacher + j, count));
        block = hn::MulAdd(difference, difference, block);
      },
      [&]() HWY_ATTR {
        sum.Add(d, block);
        block = hn::Zero(d);
      });
  const double value = sum.Total(d);
  if (row.gradient == nullptr || (!std::isfinite(value) && sizeof(Real<D>) == 4)) return value;
  const auto k = hn::Set(d, static_cast<Real<D>>(2 * factor));
  ForEachVector(d, row.classes, [&](size_t j, size_t count) HWY_ATTR {
    const auto difference = hn::Sub(LoadUpTo(d, row.student + j, count), LoadUpTo(d, row.teacher + j, count));
    StoreGradient(d, row, j, count, hn::Mul(k, difference));
  });
  return value;
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
