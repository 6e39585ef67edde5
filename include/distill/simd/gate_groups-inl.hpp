// The kept groups of a tile of tokens, where groups are whole vectors: their experts are moved to the front
// of each token's row, so that only they are looked at.
#if defined(DISTILL_SIMD_GATE_GROUPS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_GATE_GROUPS_INL_HPP
#undef DISTILL_SIMD_GATE_GROUPS_INL_HPP
#else
#define DISTILL_SIMD_GATE_GROUPS_INL_HPP
#endif

#include <distill/simd/gate_scores-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kMostTileGroups = 32;
inline constexpr size_t kGroupUnit = 16;  // what the sizes of groups are multiples of

// The groups that a tile's tokens keep: bit g of a lane for group g.
template <class D>
struct KeptGroups {
  HWY_ALIGN uint32_t bits[hn::MaxLanes(D())];
  // How much further the experts of the i-th kept group were moved than those of the one before,
  // [kept][lanes].
  HWY_ALIGN int32_t moves[kMostTileGroups * hn::MaxLanes(D())];
};

inline bool GroupsInTiles([[maybe_unused]] const gate_job& job) {
#if HWY_TARGET == HWY_SCALAR
  return false;
#else
  const size_t size = job.expert_count() / job.gate.groups;
  return job.has_groups() && job.gate.groups % 4 == 0 && job.gate.groups <= kMostTileGroups &&
         size % kGroupUnit == 0 && LargestInScore(job, size) <= 2;
#endif
}

#if HWY_TARGET != HWY_SCALAR

// The largest and the second largest of each lane.
template <class V>
struct TwoLargest {
  V first, second;
  HWY_INLINE void Insert(V v) {
    second = hn::Max(second, hn::Min(first, v));
    first = hn::Max(first, v);
  }
  HWY_INLINE void Merge(const TwoLargest& other) {
    second = hn::Max(hn::Min(first, other.first), hn::Max(second, other.second));
    first = hn::Max(first, other.first);
  }
};

// The four groups' values in each 128-bit block become one block.
template <class D, class V>
HWY_INLINE hn::Vec128<float> SumOfBlocks([[maybe_unused]] D d, const TwoLargest<V>& v, bool two) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return two ? hn::Add(v.first, v.second) : v.first;
  } else {
    const hn::Half<D> half;
    TwoLargest<hn::Vec<hn::Half<D>>> lower{hn::LowerHalf(half, v.first), hn::LowerHalf(half, v.second)};
    lower.Merge({hn::UpperHalf(half, v.first), hn::UpperHalf(half, v.second)});
    return SumOfBlocks(half, lower, two);
  }
}

// The scores of four neighbouring groups of `size` experts each.
template <class D>
HWY_INLINE hn::Vec128<float> ScoresOfFourGroups(D d, const float* values, size_t size, bool two) {
  using V = hn::Vec<D>;
  TwoLargest<V> of[4];
  for (size_t g = 0; g < 4; ++g) {
    const float* const group = values + g * size;
    of[g] = {hn::LoadU(d, group), hn::Neg(hn::Inf(d))};
    for (size_t j = hn::Lanes(d); j < size; j += hn::Lanes(d)) of[g].Insert(hn::LoadU(d, group + j));
  }
  TransposeBlocks(d, of[0].first, of[1].first, of[2].first, of[3].first);
  if (two) TransposeBlocks(d, of[0].second, of[1].second, of[2].second, of[3].second);
  of[0].Merge(of[1]);
  of[2].Merge(of[3]);
  of[0].Merge(of[2]);
  return SumOfBlocks(d, of[0], two);
}

// Ranks the groups of a tile, one token per lane. scores: [lanes][groups].
template <class D>
HWY_INLINE void RankTileGroups(D d, const gate_job& job, const float* scores, KeptGroups<D>& kept) {
  const hn::RebindToSigned<D> di;
  const size_t groups = job.gate.groups, lanes = hn::Lanes(d);
  HWY_ALIGN float across[kMostTileGroups * hn::MaxLanes(D())];
  LoadTransposed(d, scores, static_cast<ptrdiff_t>(groups), groups, across);
  for (size_t i = 0; i < groups * lanes; i += lanes)
    hn::Store(Finite(d, hn::Load(d, across + i)), d, across + i);
  const auto most = hn::Set(di, static_cast<int32_t>(job.gate.kept_groups));
  auto bits = hn::Zero(di);
  for (size_t g = 0; g < groups; ++g) {
    const auto own = hn::Load(d, across + g * lanes);
    auto rank = hn::Zero(di);
    for (size_t j = 0; j < g; ++j)
      rank = CountIf(di, rank, hn::RebindMask(di, hn::Ge(hn::Load(d, across + j * lanes), own)));
    for (size_t j = g + 1; j < groups; ++j)
      rank = CountIf(di, rank, hn::RebindMask(di, hn::Gt(hn::Load(d, across + j * lanes), own)));
    const auto bit = hn::Set(di, static_cast<int32_t>(uint32_t{1} << g));
    bits = hn::Or(bits, hn::IfThenElseZero(hn::Gt(most, rank), bit));
  }
  hn::Store(bits, di, reinterpret_cast<int32_t*>(kept.bits));
}

// Moves the experts of a token's kept groups to the front of its row.
template <class D>
HWY_INLINE void GatherKeptGroups(D d, const gate_job& job, float* row, size_t lane, KeptGroups<D>& kept) {
  const size_t lanes = hn::Lanes(d), size = job.expert_count() / job.gate.groups;
  uint32_t bits = kept.bits[lane];
  size_t moved = 0;
  for (size_t i = 0; i < job.gate.kept_groups; ++i, bits &= bits - 1) {
    const size_t group = hwy::Num0BitsBelowLS1Bit_Nonzero32(bits);
    for (size_t j = 0; j < size; j += lanes)
      hn::StoreU(hn::LoadU(d, row + group * size + j), d, row + i * size + j);
    kept.moves[i * lanes + lane] = static_cast<int32_t>((group - i) * size - moved);
    moved = (group - i) * size;
  }
}

// Keeps the best groups of a tile of prepared rows.
template <class D>
HWY_INLINE void KeepBestGroupsOfTile(D d, const gate_job& job, float* rows, size_t count,
                                     KeptGroups<D>& kept) {
  const size_t groups = job.gate.groups, size = job.expert_count() / groups;
  const bool two = LargestInScore(job, size) == 2;
  const hn::CappedTag<float, 4> d4;
  HWY_ALIGN float scores[kMostTileGroups * hn::MaxLanes(D())];
  for (size_t i = count * groups; i < hn::Lanes(d) * groups; ++i) scores[i] = 0;
  for (size_t r = 0; r < count; ++r)
    for (size_t g = 0; g < groups; g += 4)
      hn::StoreU(ScoresOfFourGroups(d, rows + r * job.scratch.pitch + g * size, size, two), d4,
                 scores + r * groups + g);
  RankTileGroups(d, job, scores, kept);
  for (size_t i = 0; count < hn::Lanes(d) && i < job.gate.kept_groups * hn::Lanes(d); ++i) kept.moves[i] = 0;
  for (size_t r = 0; r < count; ++r) GatherKeptGroups(d, job, rows + r * job.scratch.pitch, r, kept);
}

// From places in the rows of kept groups to experts.
template <class D>
HWY_INLINE void RestoreExperts(D d, const gate_job& job, const KeptGroups<D>& kept, int32_t* experts) {
  const hn::RebindToSigned<D> di;
  const size_t lanes = hn::Lanes(d), size = job.expert_count() / job.gate.groups;
  for (size_t s = 0; s < job.gate.k; ++s) {
    const auto place = hn::LoadU(di, experts + s * lanes);
    auto id = hn::Add(place, hn::Load(di, kept.moves));
    for (size_t i = 1; i < job.gate.kept_groups; ++i) {
      const auto reached = hn::Gt(place, hn::Set(di, static_cast<int32_t>(i * size) - 1));
      id = hn::Add(id, hn::IfThenElseZero(reached, hn::Load(di, kept.moves + i * lanes)));
    }
    hn::StoreU(id, di, experts + s * lanes);
  }
}

#endif

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
