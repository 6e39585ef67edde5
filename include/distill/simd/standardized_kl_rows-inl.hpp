// Forward KL of standardised logits: of the logits themselves, each row with a temperature of its own, its
// standard deviation. The gradient also goes through the student's deviation.
#if defined(DISTILL_SIMD_STANDARDIZED_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_STANDARDIZED_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_STANDARDIZED_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_STANDARDIZED_KL_ROWS_INL_HPP
#endif

#include <distill/simd/kl_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Mean and standard deviation of the logits above -inf, relative to the largest.
struct Moments {
  double mean, deviation, count;
};

// Calls f with each vector of logits less the largest, 0 where a logit is -inf or beyond the end, and the
// mask of those that are not.
template <class D, class F, class G>
HWY_INLINE void ForEachShifted(D d, const Real<D>* logits, size_t classes, Real<D> largest, F f, G flush) {
  const auto reference = hn::Set(d, largest), masked = hn::Neg(hn::Inf(d));
  ForEachVector(
      d, classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const auto v = LoadLogits(d, logits + j, count);
        const auto present = hn::Gt(v, masked);
        f(hn::IfThenElseZero(present, hn::Sub(v, reference)), present);
      },
      flush);
}

template <class D>
HWY_INLINE Moments MomentsOf(D d, const Real<D>* logits, size_t classes, Real<D> largest) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  WideSum<D> sum(d), rest(d), squares(d);
  V block = hn::Zero(d), square_block = hn::Zero(d);
  size_t count = 0;
  ForEachShifted(
      d, logits, classes, largest,
      [&](V v, auto present) HWY_ATTR {
        block = hn::Add(block, v);
        count += hn::CountTrue(d, present);
      },
      [&]() HWY_ATTR {
        sum.Add(d, block);
        block = hn::Zero(d);
      });
  const double n = static_cast<double>(count), first = sum.Total(d) / n;
  // The second visit measures from the mean, and corrects it.
  const V mean = hn::Set(d, static_cast<T>(first));
  ForEachShifted(
      d, logits, classes, largest,
      [&](V v, auto present) HWY_ATTR {
        const V off = hn::IfThenElseZero(present, hn::Sub(v, mean));
        block = hn::Add(block, off);
        square_block = hn::MulAdd(off, off, square_block);
      },
      [&]() HWY_ATTR {
        rest.Add(d, block);
        squares.Add(d, square_block);
        block = square_block = hn::Zero(d);
      });
  const double correction = rest.Total(d) / n,
               variance = (squares.Total(d) - n * correction * correction) / (n - 1);
  return {static_cast<double>(static_cast<T>(first)) + correction,
          count > 1 && !(variance < 0) ? std::sqrt(variance) : 0, n};
}

template <class D>
class StandardizedKl {
  using T = Real<D>;
  using V = hn::Vec<D>;

 public:
  StandardizedKl(D d, const loss_term& term, const RowView<T>& row)
      : row_(row),
        teacher_largest_(MaximumOrZero(d, row.teacher, row.classes)),
        student_largest_(MaximumOrZero(d, row.student, row.classes)),
        student_(MomentsOf(d, row.student, row.classes, student_largest_)),
        teacher_(MomentsOf(d, row.teacher, row.classes, teacher_largest_)),
        spread_(student_.deviation + term.alpha),
        teacher_spread_(teacher_.deviation + term.alpha) {
    const double teacher_spread = term.teacher_temperature * teacher_spread_;
    const double student_spread = term.temperature * spread_;
    scale_ = {static_cast<T>(kLog2e / teacher_spread), static_cast<T>(kLog2e / student_spread)};
    excess_ = static_cast<T>(student_spread / teacher_spread - 1);
  }

  const PairScale<T>& scale() const { return scale_; }

  template <Form kForm, bool kSame>
  HWY_INLINE FormValue Evaluate(D d, const RowScratch<T>& scratch, double factor) const {
    WideSum<D> teacher(d), other(d);  // Σ e (z - mean), Σ other (z - mean)
    const V mean = hn::Set(d, static_cast<T>(student_.mean));
    const RowSums sums = SumPairs(d, row_.classes, scratch, [&](size_t j, size_t count) HWY_ATTR {
      const V t = LoadLogits(d, row_.teacher + j, count), z = LoadLogits(d, row_.student + j, count);
      const Pair<V> pair = PairOf<kForm, kSame>(d, t, z);
      const V off = Centered(d, z, mean);
      teacher.Add(d, hn::Mul(pair.teacher, off));
      other.Add(d, hn::Mul(pair.other, off));
      return pair;
    });
    const RowResult result = ResultOf<kForm>(sums, scale_);
    const FormValue value = Judged<kForm>(KlOf<kForm>(sums, result));
    if (!StoresGradient(row_, value)) return value;
    factor = factor / spread_ + PoisonOf(value.value);
    const double moment = result.other_norm * other.Total(d) + result.teacher_norm * teacher.Total(d);
    const double curvature = (student_.count - 1) * student_.deviation * spread_;
    const double through_spread = curvature > 0 ? moment / curvature : 0;
    Store(d, scratch, mean, factor * result.other_norm, factor * result.teacher_norm,
          factor * through_spread);
    return value;
  }

  // By the temperatures, which divide the standardised logits.
  template <bool kSame>
  HWY_INLINE double Slope(D d, const loss_term& term) const {
    const T student = Center(student_largest_, student_, term.temperature);
    const T teacher = Center(teacher_largest_, teacher_, term.teacher_temperature);
    const KlMoments m = MomentsOfPairs(d, row_, student, teacher, [&](size_t j, size_t count) HWY_ATTR {
      return PairOf<Form::kClose, kSame>(d, LoadLogits(d, row_.teacher + j, count),
                                         LoadLogits(d, row_.student + j, count));
    });
    const RowResult result = ResultOf<Form::kClose>(m.sums, scale_);
    return SlopeFrom(term, KlOf<Form::kClose>(m.sums, result), OfStudent(m, result) / spread_,
                     OfTarget(m, m.teacher) / teacher_spread_);
  }

 private:
  template <Form kForm, bool kSame>
  HWY_INLINE Pair<V> PairOf(D d, V t, V z) const {
    const V teacher_scale = hn::Set(d, scale_.teacher_scale),
            student_scale = hn::Set(d, scale_.student_scale);
    const V v = hn::Sub(t, hn::Set(d, teacher_largest_)), w = hn::Sub(z, hn::Set(d, student_largest_));
    if constexpr (kForm == Form::kApart) return PairInForm<kForm, kSame, true>(d, v, w, VectorsOf(d, scale_));
    // v a - w b = ((v - w) + v (a / b - 1)) b, where v - w is exact for nearly equal logits. Where a / b
    // is far from 1, these two cancel.
    constexpr T kNear = 0.25;
    const V difference = hn::Add(hn::Sub(t, z), hn::Set(d, student_largest_ - teacher_largest_));
    const V present = hn::IfThenZeroElse(hn::Eq(t, hn::Neg(hn::Inf(d))), v);
    const V near = hn::Mul(hn::MulAdd(present, hn::Set(d, excess_), difference), student_scale);
    const V ratio =
        std::abs(excess_) < kNear ? near : hn::MulSub(v, teacher_scale, hn::Mul(w, student_scale));
    return PairOfRatio<true>(d, t, z, hn::Mul(v, teacher_scale), hn::Mul(w, student_scale), ratio);
  }

  // Where normally distributed logits have their mean under their own softmax, at most the largest: sums of
  // logits less this have the fewest digits to lose.
  static T Center(T largest, const Moments& moments, double temperature) {
    return largest + static_cast<T>(HWY_MIN(moments.mean + moments.deviation / temperature, 0.0));
  }

  // z less the mean; 0 where z is -inf.
  HWY_INLINE V Centered(D d, V z, V mean) const {
    const V off = hn::Sub(hn::Sub(z, hn::Set(d, student_largest_)), mean);
    return hn::IfThenZeroElse(hn::Eq(z, hn::Neg(hn::Inf(d))), off);
  }

  HWY_INLINE void Store(D d, const RowScratch<T>& scratch, V mean, double other_factor, double teacher_factor,
                        double spread_factor) const {
    const V a = hn::Set(d, static_cast<T>(other_factor)), b = hn::Set(d, static_cast<T>(teacher_factor));
    const V c = hn::Set(d, static_cast<T>(spread_factor));
    ForEachVector(d, row_.classes, [&](size_t j, size_t count) HWY_ATTR {
      const V off = Centered(d, LoadLogits(d, row_.student + j, count), mean);
      const V e = hn::LoadU(d, scratch.exponentials + j), other = hn::LoadU(d, scratch.others + j);
      StoreGradient(d, row_, j, count, hn::NegMulAdd(off, c, hn::MulAdd(other, a, hn::Mul(e, b))));
    });
  }

  const RowView<T>& row_;
  const T teacher_largest_, student_largest_;
  const Moments student_, teacher_;
  const double spread_, teacher_spread_;  // deviation + ε
  PairScale<T> scale_;
  T excess_;  // of the teacher's scale over the student's, relative
};

template <class D>
HWY_NOINLINE double StandardizedKlRow(D d, const loss_term& term, const RowView<Real<D>>& row,
                                      const RowScratch<Real<D>>& scratch, double factor) {
  const StandardizedKl<D> loss(d, term, row);
  return EvaluateInForm(d, row, loss.scale(), [&](auto form, auto same) HWY_ATTR {
    return loss.template Evaluate<form(), same()>(d, scratch, factor);
  });
}

template <class D>
HWY_NOINLINE double StandardizedKlSlope(D d, const loss_term& term, const RowView<Real<D>>& row) {
  const StandardizedKl<D> loss(d, term, row);
  return WithSame(loss.scale(), [&](auto same) HWY_ATTR { return loss.template Slope<same()>(d, term); });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
