// Ranking losses of one row: the teacher's largest logits are selected and sorted, and the student's logits
// in that order compared pair by pair, a vector of lower ranks against one higher rank at a time.
#if defined(DISTILL_SIMD_RANKING_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_RANKING_ROWS_INL_HPP
#undef DISTILL_SIMD_RANKING_ROWS_INL_HPP
#else
#define DISTILL_SIMD_RANKING_ROWS_INL_HPP
#endif

#include <cmath>
#include <distill/simd/loss_rows-inl.hpp>
#include <distill/simd/top_k-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Of x = (z_i - z_j) / T, where the teacher ranks i above j: the loss, and minus its derivative. NaN stays
// NaN in the loss.
struct HingeOfPair {
  double margin;
  template <class D, class V>
  HWY_INLINE void operator()(D d, V x, V& loss, V& slope) const {
    const V missing = hn::Sub(hn::Set(d, static_cast<Real<D>>(margin)), x);
    loss = AtLeast(d, missing, Real<D>{0});
    slope = hn::IfThenElseZero(hn::Gt(missing, hn::Zero(d)), hn::Set(d, Real<D>{1}));
  }
};
struct LogisticOfPair {
  template <class D, class V>
  HWY_INLINE void operator()(D d, V x, V& loss, V& slope) const {
    const V one = hn::Set(d, Real<D>{1});
    const V e = Exp2(d, hn::Mul(hn::Abs(x), hn::Set(d, static_cast<Real<D>>(-kLog2e))));
    loss = hn::Add(AtLeast(d, hn::Neg(x), Real<D>{0}), Log1p(d, e));
    slope = hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), one, e), hn::Add(one, e));
  }
};

template <class D>
HWY_INLINE bool HasNan(D d, const Real<D>* row, size_t n) {
  auto found = hn::Zero(d);
  ForEachVector(d, n, [&](size_t j, size_t count) HWY_ATTR {
    const auto v = LoadUpTo(d, row + j, count);
    found = hn::Or(found, hn::IfThenElseZero(hn::IsNaN(v), hn::Set(d, Real<D>{1})));
  });
  return !hn::AllTrue(d, hn::Eq(found, hn::Zero(d)));
}

template <class D>
struct RankedRow {
  using T = Real<D>;
  const T* logits;  // [count] the student's, by the teacher's order
  T* slopes;        // [count] out: Σ over its pairs of the derivative with respect to its logit over T
  size_t count;
  T inverse;  // 1 / T
};

// The pairs of rank `upper` with the ranks from `lower` on.
template <class Op, class D>
HWY_INLINE void PairsOfRank(const Op& op, D d, const RankedRow<D>& ranked, size_t upper, size_t lower,
                            WideSum<D>& value) {
  using V = hn::Vec<D>;
  const V own = hn::Set(d, ranked.logits[upper]), inverse = hn::Set(d, ranked.inverse);
  WideSum<D> own_slope(d);
  V value_block = hn::Zero(d), slope_block = hn::Zero(d);
  ForEachVector(
      d, ranked.count - lower,
      [&](size_t j, size_t count) HWY_ATTR {
        V loss, slope;
        const V other = LoadUpTo(d, ranked.logits + lower + j, count);
        op(d, hn::Mul(hn::Sub(own, other), inverse), loss, slope);
        if (count < hn::Lanes(d)) {
          loss = hn::IfThenElseZero(hn::FirstN(d, count), loss);
          slope = hn::IfThenElseZero(hn::FirstN(d, count), slope);
        }
        value_block = hn::Add(value_block, loss);
        slope_block = hn::Add(slope_block, slope);
        Real<D>* const out = ranked.slopes + lower + j;
        StoreUpTo(d, hn::Add(LoadUpTo(d, out, count), slope), out, count);
      },
      [&]() HWY_ATTR {
        value.Add(d, value_block);
        own_slope.Add(d, slope_block);
        value_block = slope_block = hn::Zero(d);
      });
  ranked.slopes[upper] -= static_cast<Real<D>>(own_slope.Total(d));
}

// The mean over all pairs; `pairs` says how many there are. Classes the teacher does not tell apart form
// none.
template <class Op, class D>
HWY_NOINLINE double AllPairs(const Op& op, D d, const RankedRow<D>& ranked, const Real<D>* teacher,
                             const int32_t* ids, double& pairs) {
  const auto rank_value = [&](size_t i) { return FiniteScalar(teacher[static_cast<size_t>(ids[i])]); };
  WideSum<D> value(d);
  pairs = 0;
  for (size_t begin = 0, end; begin < ranked.count; begin = end) {
    for (end = begin + 1; end < ranked.count && rank_value(end) == rank_value(begin);) ++end;
    pairs += static_cast<double>(end - begin) * static_cast<double>(ranked.count - end);
    for (size_t i = begin; i < end && end < ranked.count; ++i) PairsOfRank(op, d, ranked, i, end, value);
  }
  return pairs == 0 ? 0 : value.Total(d) / pairs;
}

// The teacher's largest classes in order, the loss of their pairs and how many pairs there are.
template <class D>
struct ComparedRow {
  RankedRow<D> ranked;
  const int32_t* ids;
  double value, pairs;
};

template <class D>
HWY_INLINE ComparedRow<D> CompareRanks(D d, const loss_term& term, const RowView<Real<D>>& row,
                                       const RowScratch<Real<D>>& scratch) {
  using T = Real<D>;
  using TI = hwy::MakeSigned<T>;
  static_assert(kTopKSlack <= 32, "ranking_scratch has that much room behind each row");
  const size_t n = row.classes, k = term.largest == 0 ? n : HWY_MIN(term.largest, n), pitch = n + kTopKSlack;
  T* const selection = scratch.ranking;  // ranking_scratch elements
  const TopKScratch<T> select{selection, reinterpret_cast<TI*>(selection + pitch),
                              reinterpret_cast<TI*>(selection + 2 * pitch)};
  int32_t* const ids = reinterpret_cast<int32_t*>(selection + 3 * pitch);
  SelectTopK<false>(d, row.teacher, n, k, select, ids);
  const RankedRow<D> ranked{scratch.exponentials, scratch.others, k, static_cast<T>(1 / term.temperature)};
  for (size_t i = 0; i < k; ++i) {
    scratch.exponentials[i] = row.student[ids[i]];
    scratch.others[i] = 0;
  }
  double pairs = 0;
  double value = term.kind == loss_kind::ranking_hinge
                     ? AllPairs(HingeOfPair{term.margin}, d, ranked, row.teacher, ids, pairs)
                     : AllPairs(LogisticOfPair{}, d, ranked, row.teacher, ids, pairs);
  if (HasNan(d, row.student, n) || HasNan(d, row.teacher, n)) value = std::nan("");
  return {ranked, ids, value, pairs};
}

// The loss of a row, and its gradient times factor.
template <class D>
HWY_NOINLINE double RankingRow(D d, const loss_term& term, const RowView<Real<D>>& row,
                               const RowScratch<Real<D>>& scratch, double factor) {
  using T = Real<D>;
  const auto [ranked, ids, value, pairs] = CompareRanks(d, term, row, scratch);
  if (row.gradient == nullptr || (!std::isfinite(value) && sizeof(T) == 4)) return value;
  const double poison = std::isnan(value) ? value : 0;
  if (!row.add || std::isnan(value)) {
    const auto nothing = hn::Set(d, static_cast<T>(poison));
    ForEachVector(d, row.classes,
                  [&](size_t j, size_t count) HWY_ATTR { StoreUpTo(d, nothing, row.gradient + j, count); });
  }
  const T slope = static_cast<T>(pairs == 0 ? 0 : factor / (term.temperature * pairs));
  for (size_t i = 0; i < ranked.count; ++i) row.gradient[ids[i]] += slope * ranked.slopes[i];
  return value;
}

// The slope of a row's loss by the temperature. A constant in the student's logits drops out.
template <class D>
HWY_NOINLINE double RankingSlope(D d, const loss_term& term, const RowView<Real<D>>& row,
                                 const RowScratch<Real<D>>& scratch) {
  const ComparedRow<D> compared = CompareRanks(d, term, row, scratch);
  if (!std::isfinite(compared.value)) return std::nan("");
  if (compared.pairs == 0) return 0;
  const RankedRow<D>& ranked = compared.ranked;
  const double largest = static_cast<double>(MaximumOrZero(d, ranked.logits, ranked.count));
  double sum = 0;
  for (size_t i = 0; i < ranked.count; ++i)
    if (ranked.slopes[i] != 0)
      sum += (static_cast<double>(ranked.logits[i]) - largest) * static_cast<double>(ranked.slopes[i]);
  return -sum / (compared.pairs * term.temperature * term.temperature);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
