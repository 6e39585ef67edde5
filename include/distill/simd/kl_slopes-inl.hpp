// The slope by the temperature of a forward KL of rows whose logits are not simply those in memory.
//
// With m the distribution of the teacher's side, q the student's, r = log(m / q) and F = Σ m r:
//   dF = Σ (q - m) dz + Σ m (r - F) dx
// for the student's logits z over T and those x that m is the softmax of. One pass over the pairs sums what
// both come to, as covariances: a constant in the logits drops out.
#if defined(DISTILL_SIMD_KL_SLOPES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_KL_SLOPES_INL_HPP
#undef DISTILL_SIMD_KL_SLOPES_INL_HPP
#else
#define DISTILL_SIMD_KL_SLOPES_INL_HPP
#endif

#include <distill/simd/kl_rows-inl.hpp>
#include <distill/simd/temperature_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Σ x e, Σ x D and Σ x e w of the pairs in form kClose, for logits x.
struct LogitMoments {
  double exponentials, others, weighted;
};

struct KlMoments {
  RowSums sums;
  LogitMoments student, teacher;

  // A class of its own, with its logits.
  void Add(const RowSums& own, double student_logit, double teacher_logit) {
    sums = {sums.teacher + own.teacher, sums.other + own.other, sums.weighted + own.weighted};
    for (const auto& [moments, logit] : {std::pair{&student, student_logit}, {&teacher, teacher_logit}}) {
      if (!(logit > -std::numeric_limits<double>::infinity())) continue;
      moments->exponentials += logit * own.teacher;
      moments->others += logit * own.other;
      moments->weighted += logit * own.weighted;
    }
  }
};

// Σ z (q - m).
HWY_INLINE double OfStudent(const KlMoments& m, const RowResult& result) {
  return result.other_norm * m.student.others + result.teacher_norm * m.student.exponentials;
}
// Σ x m (r - F), for the logits of either.
HWY_INLINE double OfTarget(const KlMoments& m, const LogitMoments& x) {
  const double norm = 1 / m.sums.teacher;
  return kLn2 * norm * (x.weighted - x.exponentials * (m.sums.weighted * norm));
}

template <class D>
class LogitMomentSums {
  using V = hn::Vec<D>;

 public:
  HWY_INLINE LogitMomentSums(D d, Real<D> largest)
      : largest_(hn::Set(d, largest)), exponentials_(d), others_(d), weighted_(d) {
    exponential_block_ = other_block_ = weighted_block_ = hn::Zero(d);
  }
  // A logit of -inf counts for nothing.
  HWY_INLINE void Add(D d, V logit, const Pair<V>& pair, V weighted) {
    const V x = hn::IfThenZeroElse(hn::Eq(logit, hn::Neg(hn::Inf(d))), hn::Sub(logit, largest_));
    exponential_block_ = hn::MulAdd(x, pair.teacher, exponential_block_);
    other_block_ = hn::MulAdd(x, pair.other, other_block_);
    weighted_block_ = hn::MulAdd(x, weighted, weighted_block_);
  }
  HWY_INLINE void Flush(D d) {
    exponentials_.Add(d, exponential_block_);
    others_.Add(d, other_block_);
    weighted_.Add(d, weighted_block_);
    exponential_block_ = other_block_ = weighted_block_ = hn::Zero(d);
  }
  HWY_INLINE LogitMoments Total(D d) const {
    return {exponentials_.Total(d), others_.Total(d), weighted_.Total(d)};
  }

 private:
  V largest_, exponential_block_, other_block_, weighted_block_;
  WideSum<D> exponentials_, others_, weighted_;
};

// Of the pairs in form kClose that pair_at(j, count) forms, with logits relative to these.
template <class D, class F>
HWY_INLINE KlMoments MomentsOfPairs(D d, const RowView<Real<D>>& row, Real<D> largest_student,
                                    Real<D> largest_teacher, F pair_at) {
  using V = hn::Vec<D>;
  const V zero = hn::Zero(d);
  LogitMomentSums<D> student(d, largest_student), teacher(d, largest_teacher);
  WideSum<D> exponentials(d), others(d), weighted(d);
  PairSums<V> block{zero, zero, zero};
  ForEachVector(
      d, row.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const Pair<V> pair = pair_at(j, count);
        const V product = ProductOrZero(d, pair.teacher, pair.ratio);
        block = {hn::Add(block.teacher, pair.teacher), hn::Add(block.other, pair.other),
                 hn::Add(block.weighted, product)};
        student.Add(d, LoadLogits(d, row.student + j, count), pair, product);
        teacher.Add(d, LoadLogits(d, row.teacher + j, count), pair, product);
      },
      [&]() HWY_ATTR {
        exponentials.Add(d, block.teacher);
        others.Add(d, block.other);
        weighted.Add(d, block.weighted);
        block = {zero, zero, zero};
        student.Flush(d);
        teacher.Flush(d);
      });
  return {{exponentials.Total(d), others.Total(d), weighted.Total(d)}, student.Total(d), teacher.Total(d)};
}

template <class T, class F>
HWY_INLINE double WithSame(const PairScale<T>& scale, F f) {
  return scale.IsSame() ? f(std::true_type()) : f(std::false_type());
}

// Of a row as it is in memory.
template <class D>
HWY_INLINE double KlSlope(D d, const loss_term& term, PairScale<Real<D>> scale, const RowView<Real<D>>& row,
                          Real<D> largest_teacher) {
  using T = Real<D>;
  const T largest_student = MaximumOrZero(d, row.student, row.classes);
  scale.RefersTo(largest_teacher, largest_student);
  return WithSame(scale, [&](auto same) HWY_ATTR {
    const ReadLabel<T> none{row.classes, T{0}, T{0}};
    const KlMoments m = MomentsOfPairs(d, row, largest_student, largest_teacher,
                                       PairsOfRow<Form::kClose, same()>(d, row, scale, none));
    const RowResult result = ResultOf<Form::kClose>(m.sums, scale);
    return SlopeFrom(term, KlOf<Form::kClose>(m.sums, result), OfStudent(m, result), OfTarget(m, m.teacher));
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
