// Scores of a gate and their slopes; the experts of a group-limited choice.
#if defined(DISTILL_SIMD_GATE_SCORES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_GATE_SCORES_INL_HPP
#undef DISTILL_SIMD_GATE_SCORES_INL_HPP
#else
#define DISTILL_SIMD_GATE_SCORES_INL_HPP
#endif

#include <distill/moe/gate_job.hpp>
#include <distill/simd/row_tiles-inl.hpp>
#include <distill/simd/top_k-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::gate_job;

template <class D, class V>
HWY_INLINE V Exponential(D d, V v) {
  return Exp2Fast(d, hn::Mul(v, hn::Set(d, static_cast<Real<D>>(kLog2e))));
}

// exp(-|z|), from which both halves of the functions below are made without overflow.
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V z) {
  const V one = hn::Set(d, Real<D>{1}), t = Exponential(d, hn::Neg(hn::Abs(z)));
  return hn::Div(hn::IfThenElse(hn::Lt(z, hn::Zero(d)), t, one), hn::Add(one, t));
}
// 1 / v of v in [1, 2]; in float without a division where that is faster, relative error below 1e-7.
template <class D, class V>
HWY_INLINE V InverseOfOneToTwo(D d, V v) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(Real<D>) == 4) {
    const V guess = hn::ApproximateReciprocal(v);  // 14 bits
    return hn::MulAdd(guess, hn::NegMulAdd(v, guess, hn::Set(d, 1.0f)), guess);
  }
#endif
  return hn::Div(hn::Set(d, Real<D>{1}), v);
}
// A score that experts are only chosen by.
template <class D, class V>
HWY_INLINE V SigmoidOfChoice(D d, V z) {
  const V one = hn::Set(d, Real<D>{1}), t = Exponential(d, hn::Neg(hn::Abs(z)));
  const V inverse = InverseOfOneToTwo(d, hn::Add(one, t));
  return hn::IfThenElse(hn::Lt(z, hn::Zero(d)), hn::Mul(t, inverse), inverse);
}
template <class D, class V>
HWY_INLINE V Softplus(D d, V z) {
  return hn::Add(hn::Max(z, hn::Zero(d)), Log1p(d, Exponential(d, hn::Neg(hn::Abs(z)))));
}
// Far below 0 it is exp(z / 2), which lives on where exp(z) underflows.
template <class D>
HWY_INLINE hn::Vec<D> FarBelow(D d) {
  return hn::Set(d, Real<D>{sizeof(Real<D>) == 4 ? -18 : -40});
}
template <class D, class V>
HWY_INLINE V SqrtSoftplus(D d, V z) {
  const V tail = Exponential(d, hn::Min(hn::Mul(z, hn::Set(d, Real<D>{0.5})), hn::Zero(d)));
  return hn::IfThenElse(hn::Lt(z, FarBelow(d)), tail, hn::Sqrt(Softplus(d, z)));
}

// (ds/dz) / s of a sigmoid or a root of softplus: 1 - s, or sigma / (2 softplus).
template <class D, class V>
HWY_INLINE V LogarithmicSlope(D d, gate_scoring scoring, V z) {
  if (scoring == gate_scoring::sigmoid) return Sigmoid(d, hn::Neg(z));
  const V half = hn::Set(d, Real<D>{0.5});
  return hn::IfThenElse(hn::Lt(z, FarBelow(d)), half, hn::Mul(half, hn::Div(Sigmoid(d, z), Softplus(d, z))));
}
template <class D, class V>
HWY_INLINE V Score(D d, gate_scoring scoring, V z) {
  return scoring == gate_scoring::sigmoid ? Sigmoid(d, z) : SqrtSoftplus(d, z);
}

// ---- rows, read and written to the end of their last vector

template <class D>
HWY_INLINE hn::Vec<D> LoadFinite(D d, const Real<D>* row, size_t j, size_t n) {
  return LoadCandidates<false>(d, row, j, n);
}

template <class D>
HWY_INLINE Real<D> RowMaximum(D d, const Real<D>* row, size_t n) {
  auto maximum = hn::Set(d, std::numeric_limits<Real<D>>::lowest());
  for (size_t j = 0; j < n; j += hn::Lanes(d)) maximum = hn::Max(maximum, LoadFinite(d, row, j, n));
  return hn::GetLane(hn::MaxOfLanes(d, maximum));
}

// The same, and whether all of the row is finite.
template <class D>
HWY_INLINE Real<D> RowMaximum(D d, const Real<D>* row, size_t n, bool& is_finite) {
  auto maximum = hn::Set(d, std::numeric_limits<Real<D>>::lowest());
  auto difference = hn::Zero(d);
  size_t j = 0;
  for (; j + hn::Lanes(d) <= n; j += hn::Lanes(d)) {
    const auto v = hn::LoadU(d, row + j);
    difference = hn::Or(difference, hn::Sub(v, v));
    maximum = hn::Max(maximum, Finite(d, v));
  }
  if (j < n) {
    const auto v = LoadPart(d, row + j, n - j);
    difference = hn::Or(difference, hn::Sub(v, v));
    maximum = hn::Max(maximum, LoadFinite(d, row, j, n));
  }
  is_finite = hn::AllTrue(d, hn::Eq(difference, hn::Zero(d)));
  return hn::GetLane(hn::MaxOfLanes(d, maximum));
}

// The sum of a row's vectors, carried over to double now and then.
template <class D>
struct RowSum {
  WideSum<D> wide;
  hn::Vec<D> block;
  size_t vectors = 0;
  HWY_INLINE explicit RowSum(D d) : wide(d), block(hn::Zero(d)) {}
  HWY_INLINE void Add(D d, hn::Vec<D> v) {
    block = hn::Add(block, v);
    if (++vectors % kBlockVectors != 0) return;
    wide.Add(d, block);
    block = hn::Zero(d);
  }
  HWY_INLINE double Total(D d) {
    wide.Add(d, block);
    return wide.Total(d);
  }
};

// exp(z - maximum) of a row, 0 beyond its end; returns their sum.
template <class D>
HWY_INLINE double ExponentiateRow(D d, const Real<D>* row, size_t n, Real<D> maximum, Real<D>* out) {
  RowSum<D> sum(d);
  const auto shift = hn::Set(d, maximum);
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    const auto e = Exponential(d, hn::Sub(LoadFinite(d, row, j, n), shift));
    hn::StoreU(e, d, out + j);
    sum.Add(d, e);
  }
  return sum.Total(d);
}

// The same, and whether all of the row is finite.
template <class D>
HWY_INLINE double ExponentiateRow(D d, const Real<D>* row, size_t n, Real<D> maximum, Real<D>* out,
                                  bool& is_finite) {
  RowSum<D> sum(d);
  const auto shift = hn::Set(d, maximum);
  auto difference = hn::Zero(d);
  size_t j = 0;
  for (; j + hn::Lanes(d) <= n; j += hn::Lanes(d)) {
    const auto v = hn::LoadU(d, row + j);
    difference = hn::Or(difference, hn::Sub(v, v));
    const auto e = Exponential(d, hn::Sub(Finite(d, v), shift));
    hn::StoreU(e, d, out + j);
    sum.Add(d, e);
  }
  if (j < n) {
    const auto v = LoadPart(d, row + j, n - j);
    difference = hn::Or(difference, hn::Sub(v, v));
    const auto e = Exponential(d, hn::Sub(LoadFinite(d, row, j, n), shift));
    hn::StoreU(e, d, out + j);
    sum.Add(d, e);
  }
  is_finite = hn::AllTrue(d, hn::Eq(difference, hn::Zero(d)));
  return sum.Total(d);
}

// Scores of a row, 0 beyond its end; returns their sum.
template <class D>
HWY_INLINE double ScoreRow(D d, gate_scoring scoring, const Real<D>* row, size_t n, Real<D>* out) {
  RowSum<D> sum(d);
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    auto s = Score(d, scoring, LoadFinite(d, row, j, n));
    if (n - j < hn::Lanes(d)) s = hn::IfThenElseZero(hn::FirstN(d, n - j), s);
    hn::StoreU(s, d, out + j);
    sum.Add(d, s);
  }
  return sum.Total(d);
}

template <class D>
HWY_INLINE bool IsFiniteRow(D d, const Real<D>* row, size_t n) {
  auto difference = hn::Zero(d);
  size_t j = 0;
  for (; j + hn::Lanes(d) <= n; j += hn::Lanes(d)) {
    const auto v = hn::LoadU(d, row + j);
    difference = hn::Or(difference, hn::Sub(v, v));
  }
  if (j < n) {
    const auto v = LoadPart(d, row + j, n - j);
    difference = hn::Or(difference, hn::Sub(v, v));
  }
  return hn::AllTrue(d, hn::Eq(difference, hn::Zero(d)));
}

// ---- what experts are chosen by, where that is not the logits

// The sum of the two largest of a group.
template <class D>
HWY_INLINE Real<D> SumOfTwoLargest(D d, const Real<D>* values, size_t n) {
  if (n == 1) return values[0];
  auto first = hn::Neg(hn::Inf(d)), second = first;
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    auto v = hn::LoadU(d, values + j);
    if (n - j < hn::Lanes(d)) v = hn::IfThenElse(hn::FirstN(d, n - j), v, hn::Neg(hn::Inf(d)));
    second = hn::Max(second, hn::Min(first, v));
    first = hn::Max(first, v);
  }
  const auto largest = hn::MaxOfLanes(d, first);
  const auto has_largest = hn::Eq(first, largest);
  if (hn::CountTrue(d, has_largest) > 1)
    second = largest;
  else
    second = hn::MaxOfLanes(d, hn::IfThenElse(has_largest, second, first));
  return hn::GetLane(largest) + hn::GetLane(second);
}

// How many of the largest of a group of n experts its score is the sum of.
inline size_t LargestInScore(const gate_job& job, size_t n) {
  const size_t wanted = job.gate.group_score == group_scoring::maximum ? 1
                        : job.gate.group_score == group_scoring::two_largest
                            ? 2
                            : job.gate.k / job.gate.kept_groups;
  return HWY_MIN(n, HWY_MAX(wanted, size_t{1}));
}

template <class D>
HWY_INLINE Real<D> ScoreOfGroup(D d, const gate_job& job, const Real<D>* values, size_t n,
                                const TopKScratch<Real<D>>& s, int32_t* sorted) {
  using T = Real<D>;
  const size_t wanted = LargestInScore(job, n);
  if (wanted == 1) {
    auto largest = hn::Neg(hn::Inf(d));
    for (size_t j = 0; j < n; j += hn::Lanes(d)) {
      auto v = hn::LoadU(d, values + j);
      if (n - j < hn::Lanes(d)) v = hn::IfThenElse(hn::FirstN(d, n - j), v, hn::Neg(hn::Inf(d)));
      largest = hn::Max(largest, v);
    }
    return hn::GetLane(hn::MaxOfLanes(d, largest));
  }
  if (wanted == 2) return SumOfTwoLargest(d, values, n);
  SelectTopK<false>(d, values, n, wanted, s, sorted);
  T sum = 0;
  for (size_t i = 0; i < wanted; ++i) sum += values[sorted[i]];
  return sum;
}

// Turns the scores of groups into bounds on their experts: -infinity for those kept, infinity for the others.
// Without a branch on the data where groups are few.
template <class D>
HWY_INLINE void RankGroups(D d, const gate_job& job, Real<D>* scores, const TopKScratch<Real<D>>& s,
                           int32_t* sorted) {
  using T = Real<D>;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr size_t kFew = 32;
  const size_t groups = job.gate.groups, kept = job.gate.kept_groups;
  for (size_t g = 0; g < groups; ++g) s.values[g] = FiniteScalar(scores[g]);
  if (groups <= kFew) {
    for (size_t g = 0; g < groups; ++g) {
      const T own = s.values[g];
      size_t rank = 0;
      for (size_t j = 0; j < g; ++j) rank += s.values[j] >= own ? 1 : 0;
      for (size_t j = g + 1; j < groups; ++j) rank += s.values[j] > own ? 1 : 0;
      scores[g] = rank < kept ? -kInfinity : kInfinity;
    }
    return;
  }
  for (size_t g = 0; g < groups; ++g) {
    s.ids[g] = static_cast<hwy::MakeSigned<T>>(g);
    scores[g] = kInfinity;
  }
  RankCandidates(d, s, groups, kept, sorted);
  for (size_t i = 0; i < kept; ++i) scores[sorted[i]] = -kInfinity;
}

// Puts the experts of the groups that are not kept out of the choice.
template <class D>
HWY_INLINE void KeepBestGroups(D d, const gate_job& job, Real<D>* values, Real<D>* group_scores,
                               const TopKScratch<Real<D>>& s, int32_t* sorted) {
  const size_t groups = job.gate.groups, size = job.expert_count() / groups;
  for (size_t g = 0; g < groups; ++g)
    group_scores[g] = ScoreOfGroup(d, job, values + g * size, size, s, sorted);
  RankGroups(d, job, group_scores, s, sorted);
  const auto none = hn::Neg(hn::Inf(d));
  for (size_t g = 0; g < groups; ++g) {
    Real<D>* const out = values + g * size;
    const auto bound = hn::Set(d, group_scores[g]);  // infinity: no value reaches it
    size_t j = 0;
    for (; j + hn::Lanes(d) <= size; j += hn::Lanes(d)) {
      const auto v = hn::LoadU(d, out + j);
      hn::StoreU(hn::IfThenElse(hn::Gt(v, bound), v, none), d, out + j);
    }
    for (; j < size; ++j) out[j] = out[j] > group_scores[g] ? out[j] : hn::GetLane(none);
  }
}

// A row made of the scores that experts are chosen by, and the factor that these still lack.
template <class D>
HWY_INLINE const Real<D>* ScoresOfChoice(D d, const gate_job& job, const Real<D>* row, Real<D>* out,
                                         Real<D>& factor) {
  const size_t n = job.expert_count();
  factor = 1;
  if (!job.needs_scores() || job.gate.scoring == gate_scoring::top_k_then_softmax) return row;
  if (job.gate.scoring == gate_scoring::softmax_then_top_k)
    factor = static_cast<Real<D>>(1 / ExponentiateRow(d, row, n, RowMaximum(d, row, n), out));
  else if (job.gate.scoring == gate_scoring::sigmoid)
    for (size_t j = 0; j < n; j += hn::Lanes(d))
      hn::StoreU(SigmoidOfChoice(d, LoadFinite(d, row, j, n)), d, out + j);
  else
    ScoreRow(d, job.gate.scoring, row, n, out);
  return out;
}

// What the experts of a token are chosen by: a row prepared for SelectTopK. Needs a spare row.
template <class D>
HWY_INLINE void PrepareChoice(D d, const gate_job& job, const Real<D>* row, const Real<D>* bias,
                              bool groups_later, Real<D>* out, Real<D>* spare, const TopKScratch<Real<D>>& s,
                              int32_t* sorted) {
  using T = Real<D>;
  const size_t n = job.expert_count();
  if (bias != nullptr && job.gate.scoring == gate_scoring::sigmoid && n % hn::Lanes(d) == 0) {
    for (size_t j = 0; j < n; j += hn::Lanes(d)) {
      const auto score = SigmoidOfChoice(d, Finite(d, hn::LoadU(d, row + j)));
      hn::StoreU(Finite(d, hn::Add(score, hn::LoadU(d, bias + j))), d, out + j);
    }
    if (job.has_groups() && !groups_later) KeepBestGroups(d, job, out, spare, s, sorted);
    return;
  }
  T factor;
  const T* const source = ScoresOfChoice(d, job, row, out, factor);
  const auto scale = hn::Set(d, factor);
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    auto v = hn::Mul(LoadFinite(d, source, j, n), scale);
    if (bias != nullptr) v = Finite(d, hn::Add(v, hn::LoadU(d, bias + j)));
    if (n - j < hn::Lanes(d)) v = hn::IfThenElse(hn::FirstN(d, n - j), v, hn::Neg(hn::Inf(d)));
    hn::StoreU(v, d, out + j);
  }
  if (job.has_groups() && !groups_later) KeepBestGroups(d, job, out, spare, s, sorted);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
