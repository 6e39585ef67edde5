// Forward and reverse KL of a row, weighted by where teacher and student differ: among the teacher's most
// probable classes or in its tail.
//
// The most probable classes are not sorted. A class less probable than (1 - mass) / classes is never among
// them, so one pass compresses the others; a pivot halfway between the least and the largest of these, in the
// order of their bits, then keeps one side, whichever the bound lies in, until few remain. The order of
// classes is never changed: among equals the first are taken.
#if defined(DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_ADAPTIVE_KL_ROWS_INL_HPP
#endif

#include <cmath>
#include <distill/simd/loss_rows-inl.hpp>

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

// What a set of classes holds.
struct Holding {
  double mass = 0, difference = 0;
};

template <class D>
HWY_INLINE Holding HoldingAbove(D d, const Candidates<Real<D>>& c, Real<D> pivot) {
  const auto bound = hn::Set(d, pivot);
  WideSum<D> mass(d), difference(d);
  ForEachVector(d, c.count, [&](size_t j, size_t count) HWY_ATTR {
    const auto m = LoadUpTo(d, c.masses + j, count), x = LoadUpTo(d, c.differences + j, count);
    const auto above = hn::Gt(m, bound);
    mass.Add(d, hn::IfThenElseZero(above, m));
    difference.Add(d, hn::IfThenElseZero(above, x));
  });
  return {mass.Total(d), difference.Total(d)};
}

// Keeps those above the pivot, or the others.
template <class D>
HWY_INLINE void KeepSide(D d, Candidates<Real<D>>& c, Real<D> pivot, bool above) {
  const auto bound = hn::Set(d, pivot);
  Candidates<Real<D>> kept{c.masses, c.differences, 0};
  ForEachVector(d, c.count, [&](size_t j, size_t count) HWY_ATTR {
    const auto m = LoadUpTo(d, c.masses + j, count), x = LoadUpTo(d, c.differences + j, count);
    const auto wanted = above ? hn::Gt(m, bound) : hn::Le(m, bound);
    AppendCandidates(d, m, x, hn::And(wanted, hn::FirstN(d, count)), kept);
  });
  c.count = kept.count;
}

template <class T>
struct Range {
  T least, largest;
  // Halfway in the order of the bits, which for positive numbers is that of the numbers; below the largest.
  HWY_INLINE T Halfway() const {
    using Bits = hwy::MakeUnsigned<T>;
    Bits low, high;
    hwy::CopyBytes<sizeof(T)>(&least, &low);
    hwy::CopyBytes<sizeof(T)>(&largest, &high);
    const Bits middle = low + (high - low) / 2;
    T result;
    hwy::CopyBytes<sizeof(T)>(&middle, &result);
    return result;
  }
};

template <class D>
HWY_INLINE Range<Real<D>> RangeOf(D d, const Candidates<Real<D>>& c) {
  auto least = hn::Inf(d), largest = hn::Zero(d);
  ForEachVector(d, c.count, [&](size_t j, size_t count) HWY_ATTR {
    const auto m = LoadUpTo(d, c.masses + j, count);
    largest = hn::Max(largest, m);
    least = hn::Min(least, hn::IfThenElse(hn::FirstN(d, count), m, hn::Inf(d)));
  });
  return {hn::GetLane(hn::MinOfLanes(d, least)), hn::GetLane(hn::MaxOfLanes(d, largest))};
}

// Σ |p - q| over the most probable candidates, as many as it takes to hold `wanted`.
template <class D>
HWY_NOINLINE double DifferenceOfHead(D d, Candidates<Real<D>> c, double wanted) {
  using T = Real<D>;
  constexpr size_t kFew = 24;
  Holding head;
  while (c.count > kFew) {
    const Range<T> range = RangeOf(d, c);
    if (!(range.least < range.largest)) break;
    const T pivot = range.Halfway();
    const Holding above = HoldingAbove(d, c, pivot);
    const bool enough = head.mass + above.mass >= wanted;
    KeepSide(d, c, pivot, enough);
    if (enough) continue;
    head.mass += above.mass;
    head.difference += above.difference;
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

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
