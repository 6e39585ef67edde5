// Forward and reverse KL of a row, weighted by where teacher and student differ: among the teacher's most
// probable classes or in its tail.
//
// The most probable classes are not sorted. A class less probable than (1 - mass) / classes is never among
// them, so one pass compresses the others. Pivots between the least and the largest of these cut them into
// five parts, of which the one that the bound lies in is kept, until few remain. The order of classes is
// never changed: among equals the first are taken.
#if defined(DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP
#endif

#include <cmath>
#include <distill/simd/temperature_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Classes in the order of their indices: the teacher's exponentials and |p - q|.
template <class T>
struct Candidates {
  T* masses;
  T* differences;
  size_t count;
};

// Appends the lanes of the mask. Storing whole vectors stays within what has been read already.
template <class D, class M>
HWY_INLINE void AppendCandidates(D d, hn::Vec<D> mass, hn::Vec<D> difference, M mask,
                                 Candidates<Real<D>>& to) {
  if (hn::AllFalse(d, mask)) return;
  hn::StoreU(hn::Compress(mass, mask), d, to.masses + to.count);
  hn::StoreU(hn::Compress(difference, mask), d, to.differences + to.count);
  to.count += hn::CountTrue(d, mask);
}

// How many places a range is cut in at once.
inline constexpr size_t kPivots = 4;

template <class T>
struct MassRange {
  T least, largest;

  // Evenly spaced in the order of the bits, which for positive numbers is that of the numbers, descending;
  // below the largest.
  HWY_INLINE void Cut(T* pivots) const {
    using Bits = hwy::MakeUnsigned<T>;
    Bits low, high;
    hwy::CopyBytes<sizeof(T)>(&least, &low);
    hwy::CopyBytes<sizeof(T)>(&largest, &high);
    const Bits step = HWY_MAX((high - low) / (kPivots + 1), Bits{1});
    for (size_t i = 0; i < kPivots; ++i) {
      high = high - low > step ? high - step : low;
      hwy::CopyBytes<sizeof(T)>(&high, pivots + i);
    }
  }
};

// What the masses above each pivot sum up to.
template <class D>
HWY_INLINE void MassesAbove(D d, const Candidates<Real<D>>& c, const Real<D>* pivots, double* masses) {
  using V = hn::Vec<D>;
  const V p0 = hn::Set(d, pivots[0]), p1 = hn::Set(d, pivots[1]), p2 = hn::Set(d, pivots[2]),
          p3 = hn::Set(d, pivots[3]);
  V b0 = hn::Zero(d), b1 = b0, b2 = b0, b3 = b0;
  WideSum<D> s0(d), s1(d), s2(d), s3(d);
  ForEachVector(
      d, c.count,
      [&](size_t j, size_t count) HWY_ATTR {
        const V m = LoadUpTo(d, c.masses + j, count);
        b0 = hn::Add(b0, hn::IfThenElseZero(hn::Gt(m, p0), m));
        b1 = hn::Add(b1, hn::IfThenElseZero(hn::Gt(m, p1), m));
        b2 = hn::Add(b2, hn::IfThenElseZero(hn::Gt(m, p2), m));
        b3 = hn::Add(b3, hn::IfThenElseZero(hn::Gt(m, p3), m));
      },
      [&]() HWY_ATTR {
        s0.Add(d, b0);
        s1.Add(d, b1);
        s2.Add(d, b2);
        s3.Add(d, b3);
        b0 = b1 = b2 = b3 = hn::Zero(d);
      });
  masses[0] = s0.Total(d);
  masses[1] = s1.Total(d);
  masses[2] = s2.Total(d);
  masses[3] = s3.Total(d);
}

// Keeps the candidates with masses in (lower, upper], and their range. Returns Σ |p - q| of those above.
template <class D>
HWY_INLINE double KeepBetween(D d, Candidates<Real<D>>& c, Real<D> lower, Real<D> upper,
                              MassRange<Real<D>>& range) {
  using V = hn::Vec<D>;
  const V low = hn::Set(d, lower), high = hn::Set(d, upper);
  Candidates<Real<D>> kept{c.masses, c.differences, 0};
  WideSum<D> above(d);
  V block = hn::Zero(d), least = hn::Inf(d), largest = hn::Zero(d);
  ForEachVector(
      d, c.count,
      [&](size_t j, size_t count) HWY_ATTR {
        // What lies beyond the end reads as 0, which no bound is below.
        const V m = LoadUpTo(d, c.masses + j, count), x = LoadUpTo(d, c.differences + j, count);
        const auto keep = hn::And(hn::Gt(m, low), hn::Le(m, high));
        block = hn::Add(block, hn::IfThenElseZero(hn::Gt(m, high), x));
        least = hn::Min(least, hn::IfThenElse(keep, m, hn::Inf(d)));
        largest = hn::Max(largest, hn::IfThenElseZero(keep, m));
        AppendCandidates(d, m, x, keep, kept);
      },
      [&]() HWY_ATTR {
        above.Add(d, block);
        block = hn::Zero(d);
      });
  c.count = kept.count;
  range = {hn::GetLane(hn::MinOfLanes(d, least)), hn::GetLane(hn::MaxOfLanes(d, largest))};
  return above.Total(d);
}

// Σ |p - q| over the most probable candidates, as many as it takes to hold `wanted`.
template <class D>
HWY_NOINLINE double DifferenceOfHead(D d, Candidates<Real<D>> c, double wanted) {
  using T = Real<D>;
  constexpr size_t kFew = 8;
  struct {
    double mass = 0, difference = 0;
  } head;
  MassRange<T> range{};
  KeepBetween(d, c, T{0}, std::numeric_limits<T>::max(), range);
  while (c.count > kFew && range.least < range.largest) {
    T pivots[kPivots];
    double masses[kPivots];
    range.Cut(pivots);
    MassesAbove(d, c, pivots, masses);
    size_t k = 0;  // the first pivot above which there is enough
    while (k < kPivots && head.mass + masses[k] < wanted) ++k;
    if (k > 0) head.mass += masses[k - 1];
    const T lower = k < kPivots ? pivots[k] : T{0}, upper = k > 0 ? pivots[k - 1] : range.largest;
    head.difference += KeepBetween(d, c, lower, upper, range);
  }
  const auto take = [&](size_t j) {
    head.mass += static_cast<double>(c.masses[j]);
    head.difference += static_cast<double>(c.differences[j]);
  };
  if (c.count > kFew) {  // all are equal
    for (size_t j = 0; j < c.count && head.mass < wanted; ++j) take(j);
    return head.difference;
  }
  for (size_t taken = 0; taken < c.count && head.mass < wanted; ++taken) {
    size_t next = 0;
    for (size_t j = 1; j < c.count; ++j)
      if (c.masses[j] > c.masses[next]) next = j;
    take(next);
    c.masses[next] = 0;
  }
  return head.difference;
}

// head Σ p log(p / q) + tail Σ q log(q / p), the weights held constant.
struct WeightedKl {
  double head, tail;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    using T = Real<D>;
    V forward, forward_slope, reverse, reverse_slope;
    ForwardKl()(d, x, forward, forward_slope);
    ReverseKl()(d, x, reverse, reverse_slope);
    const V a = hn::Set(d, static_cast<T>(head)), b = hn::Set(d, static_cast<T>(tail));
    // A weight of 0 takes no part, whatever it would multiply.
    if (tail == 0) {
      f = hn::Mul(a, forward);
      qu = hn::Mul(a, forward_slope);
    } else if (head == 0) {
      f = hn::Mul(b, reverse);
      qu = hn::Mul(b, reverse_slope);
    } else {
      f = hn::MulAdd(a, forward, hn::Mul(b, reverse));
      qu = hn::MulAdd(a, forward_slope, hn::Mul(b, reverse_slope));
    }
  }
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    const V forward = hn::Mul(hn::Set(d, static_cast<Real<D>>(head)), ForwardKl().TeacherSlope(d, x));
    const V reverse = hn::Mul(hn::Set(d, static_cast<Real<D>>(tail)), ReverseKl().TeacherSlope(d, x));
    if (tail == 0) return forward;
    if (head == 0) return reverse;
    return hn::Add(forward, reverse);
  }
};

struct AdaptiveKl {
  double head_mass;
};

template <Form kForm, bool kSame, class D>
HWY_INLINE WeightedKl OperatorOfRow(AdaptiveKl op, D d, const RowView<Real<D>>& row,
                                    const PairScale<Real<D>>& scale, const PairNorms& norms,
                                    const RowScratch<Real<D>>& scratch) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  // A little less than the bound itself, so that rounding takes no class away.
  const double bound = 0.999 * (1 - op.head_mass) * norms.teacher_sum / static_cast<double>(row.classes);
  const V least = hn::Set(d, static_cast<T>(bound));
  Candidates<T> candidates{scratch.candidates, scratch.slopes, 0};
  WideSum<D> total(d);
  V block = hn::Zero(d);
  ForEachProbability<kForm, kSame>(
      d, row, scale, norms, scratch,
      [&](size_t j, size_t, const Probabilities<V>& x) HWY_ATTR {
        const V e = hn::LoadU(d, scratch.exponentials + j), difference = hn::Abs(x.difference);
        block = hn::Add(block, difference);
        AppendCandidates(d, e, difference, hn::Gt(e, least), candidates);
      },
      [&]() HWY_ATTR {
        total.Add(d, block);
        block = hn::Zero(d);
      });
  const double all = total.Total(d);
  if (all == 0) return {1, 0};
  const double head = std::fmin(DifferenceOfHead(d, candidates, op.head_mass * norms.teacher_sum) / all, 1.0);
  return {head, 1 - head + 0 * all};
}

template <class D>
HWY_NOINLINE double AdaptiveKlRow(D d, const loss_term& term, const RowView<Real<D>>& row,
                                  const RowScratch<Real<D>>& scratch, double factor) {
  return PointwiseRow(AdaptiveKl{term.alpha}, d, ScaleOf<Real<D>>(term), row, scratch, factor);
}

// By the temperatures, the weights held constant as in the gradient.
template <class D>
HWY_NOINLINE double AdaptiveKlSlope(D d, const loss_term& term, const RowView<Real<D>>& row,
                                    const RowScratch<Real<D>>& scratch) {
  return PointwiseSlope(AdaptiveKl{term.alpha}, d, term, row, scratch);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
