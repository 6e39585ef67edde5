// The choice of a gate for a tile of tokens, up to 8 experts for each: sorted by inserting one expert after
// the other into the k best so far, one token per lane. Of many experts only candidates are inserted.
#if defined(DISTILL_SIMD_GATE_SELECTION_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_GATE_SELECTION_INL_HPP
#undef DISTILL_SIMD_GATE_SELECTION_INL_HPP
#else
#define DISTILL_SIMD_GATE_SELECTION_INL_HPP
#endif

#include <distill/simd/gate_groups-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kMostInserted = 8;  // experts per token
inline constexpr size_t kCandidates = 16;   // of a token

// A worker's scratch.
template <class D>
struct GateMemory {
  using T = Real<D>;
  using TI = hwy::MakeSigned<T>;

  GateMemory(const gate_job& job, void* scratch) {
    const detail::gate_scratch& at = job.scratch;
    char* const base = static_cast<char*>(scratch);
    const auto reals = [&](size_t offset) { return reinterpret_cast<T*>(base + offset); };
    rows = reals(at.rows), prepared = reals(at.prepared), exponentials = reals(at.exponentials);
    tile = reals(at.tile), staging = reals(at.staging), sums = reals(at.sums), bias = reals(at.bias);
    logits = reals(at.logits), weights = reals(at.weights), upstream = reals(at.upstream);
    candidates = reals(at.candidates), candidate_ids = reinterpret_cast<TI*>(base + at.candidate_ids);
    top_k = {reals(at.values), reinterpret_cast<TI*>(base + at.ids), reinterpret_cast<TI*>(base + at.keys)};
    experts = reinterpret_cast<int32_t*>(base + at.experts),
    sorted = reinterpret_cast<int32_t*>(base + at.sorted);
  }
  void FillBias(const gate_job& job) const {
    for (size_t e = 0; e < job.scratch.pitch; ++e)
      bias[e] = e < job.gate.expert_bias.size() ? static_cast<T>(job.gate.expert_bias[e]) : T{0};
  }
  void ClearSums(const gate_job& job) const {
    const size_t size = job.across_tokens ? job.expert_count() * hn::Lanes(D()) : job.scratch.pitch;
    for (size_t i = 0; i < size; ++i) sums[i] = 0;
  }

  T *rows, *prepared, *exponentials, *tile, *staging, *sums, *bias;  // [lanes][pitch] or [experts][lanes]
  T *logits, *weights, *upstream;                                    // [k][lanes]
  int32_t *experts, *sorted;                                         // [k][lanes], [k]
  TopKScratch<T> top_k;
  T* candidates;  // [lanes][kCandidates]
  TI* candidate_ids;
};

// Where a chunk's statistics are added up.
struct ChunkCounters {
  int64_t *assignments = nullptr, *tokens = nullptr;  // tokens[0]: of finite logits, tokens[1]: bad rows
  double *probabilities = nullptr, *squares = nullptr;

  ChunkCounters(const gate_job& job, size_t chunk) {
    const size_t n = job.expert_count();
    if (job.counts) assignments = job.counters + chunk * (n + 2), tokens = assignments + n;
    if (job.sums_probabilities) probabilities = job.sums + chunk * (n + 1), squares = probabilities + n;
  }
};

// The logits of a tile's tokens as contiguous rows, with jitter and noise. Masked tokens read as zeros.
template <class D>
struct TokenRows {
  using T = Real<D>;
  const T* at[HWY_MAX_BYTES / sizeof(T)];
  size_t count;

  HWY_INLINE void Load(D, const gate_job& job, const GateMemory<D>& m, size_t token, size_t tokens) {
    count = tokens;
    for (size_t r = 0; r < count; ++r) {
      T* const copy = m.rows + r * job.scratch.pitch;
      if (!job.is_counted(token + r)) {
        for (size_t e = 0; e < job.expert_count(); ++e) copy[e] = 0;
        at[r] = copy;
        continue;
      }
      at[r] = RowAs<T>(job.logits, token + r, copy);
      if (!job.is_perturbed()) continue;
      for (size_t e = 0; e < job.expert_count(); ++e)
        copy[e] = static_cast<T>(static_cast<double>(at[r][e]) * job.jitter_factor(token + r, e) +
                                 job.noise(token + r, e));
      at[r] = copy;
    }
  }
};

// Inserts elements 0 to n - 1, at(e, value, id), into the K largest of each lane. An element goes before
// those it exceeds, so equals stay in their order.
template <size_t K, class D, class F>
HWY_INLINE void InsertLargest(D d, size_t n, F at, Real<D>* HWY_RESTRICT values, int32_t* HWY_RESTRICT ids) {
  const hn::RebindToSigned<D> di;
  hn::Vec<D> v[K];
  hn::Vec<hn::RebindToSigned<D>> id[K];
  hn::Vec<D> next = hn::Zero(d);
  hn::Vec<hn::RebindToSigned<D>> next_id = hn::Zero(di);
  hn::Vec<D> inserted = next;
  const auto insert = [&](size_t s) HWY_ATTR {
    // Not `next`, which may be an equal that has been pushed back.
    const auto ahead = hn::RebindMask(di, hn::Gt(inserted, v[s]));
    const auto lower = hn::Min(v[s], next);
    v[s] = hn::Max(v[s], next);
    next = lower;
    const auto behind = hn::IfThenElse(ahead, id[s], next_id);
    id[s] = hn::IfThenElse(ahead, next_id, id[s]);
    next_id = behind;
  };
  for (size_t e = 0; e < K; ++e) {
    at(e, next, next_id);
    inserted = next;
    for (size_t s = 0; s < e; ++s) insert(s);
    v[e] = next, id[e] = next_id;
  }
  for (size_t e = K; e < n; ++e) {
    at(e, next, next_id);
    inserted = next;
    for (size_t s = 0; s < K; ++s) insert(s);
  }
  for (size_t s = 0; s < K; ++s) {
    hn::StoreU(v[s], d, values + s * hn::Lanes(d));
    hn::StoreU(id[s], di, ids + s * hn::Lanes(d));
  }
}

template <class D, class F>
HWY_INLINE void InsertKLargest(D d, size_t k, size_t n, F at, Real<D>* values, int32_t* ids) {
  switch (k) {
    case 1:
      return InsertLargest<1>(d, n, at, values, ids);
    case 2:
      return InsertLargest<2>(d, n, at, values, ids);
    case 3:
      return InsertLargest<3>(d, n, at, values, ids);
    case 4:
      return InsertLargest<4>(d, n, at, values, ids);
    case 5:
      return InsertLargest<5>(d, n, at, values, ids);
    case 6:
      return InsertLargest<6>(d, n, at, values, ids);
    case 7:
      return InsertLargest<7>(d, n, at, values, ids);
    default:
      return InsertLargest<8>(d, n, at, values, ids);
  }
}

// Chooses among all experts of a tile whose tokens are lanes. Returns the lanes without a logit that is not
// finite.
template <class D>
HWY_NOINLINE uint64_t SelectAcross(D d, const gate_job& job, const GateMemory<D>& m,
                                   const LaneTile<Real<D>>& tile) {
  if constexpr (sizeof(Real<D>) == 4) {
    const hn::RebindToSigned<D> di;
    InsertKLargest(
        d, job.gate.k, job.expert_count(),
        [&](size_t e, hn::Vec<D>& v, hn::Vec<hn::RebindToSigned<D>>& id) HWY_ATTR {
          v = Finite(d, tile.Class(d, e));
          id = hn::Set(di, static_cast<int32_t>(e));
        },
        m.logits, m.experts);
  }
  if (!job.counts) return 0;
  auto difference = hn::Zero(d);
  for (size_t e = 0; e < job.expert_count(); ++e) {
    const auto v = tile.Class(d, e);
    difference = hn::Or(difference, hn::Sub(v, v));
  }
  HWY_ALIGN Real<D> differences[hn::MaxLanes(D())];
  hn::Store(difference, d, differences);
  uint64_t finite = 0;
  for (size_t r = 0; r < hn::Lanes(d); ++r) finite |= static_cast<uint64_t>(differences[r] == 0) << r;
  return finite;
}

// The ids of a token by SelectTopK, put into its lane.
template <class D>
HWY_INLINE void SelectLane(D d, const gate_job& job, const GateMemory<D>& m, const Real<D>* choice,
                           bool is_prepared, size_t lane) {
  const size_t lanes = hn::Lanes(d);
  if (is_prepared)
    SelectTopK<true>(d, choice, job.expert_count(), job.gate.k, m.top_k, m.sorted);
  else
    SelectTopK<false>(d, choice, job.expert_count(), job.gate.k, m.top_k, m.sorted);
  for (size_t s = 0; s < job.gate.k; ++s) {
    m.experts[s * lanes + lane] = m.sorted[s];
    m.logits[s * lanes + lane] = FiniteScalar(choice[m.sorted[s]]);
  }
}

#if HWY_TARGET != HWY_SCALAR

// Sorts 8 values of each lane, largest first (Batcher).
template <class V>
HWY_INLINE void SortEight(V* v) {
  constexpr uint8_t kPairs[19][2] = {{0, 1}, {2, 3}, {4, 5}, {6, 7}, {0, 2}, {1, 3}, {4, 6},
                                     {5, 7}, {1, 2}, {5, 6}, {0, 4}, {1, 5}, {2, 6}, {3, 7},
                                     {2, 4}, {3, 5}, {1, 2}, {3, 4}, {5, 6}};
  for (const auto& [i, j] : kPairs) {
    const V larger = hn::Max(v[i], v[j]);
    v[j] = hn::Min(v[i], v[j]);
    v[i] = larger;
  }
}

// The k-th largest of the 16 values that each lane has, k <= 8.
template <class D>
HWY_INLINE hn::Vec<D> KthOfSixteen(D d, const Real<D>* tile, size_t k) {
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d);
  V a[8], b[8];
  for (size_t i = 0; i < 8; ++i) {
    a[i] = hn::LoadU(d, tile + i * lanes);
    b[i] = hn::LoadU(d, tile + (i + 8) * lanes);
  }
  SortEight(a);
  SortEight(b);
  V kth = hn::Max(a[k - 1], b[k - 1]);
  for (size_t i = 1; i < k; ++i) kth = hn::Max(kth, hn::Min(a[i - 1], b[k - i - 1]));
  return kth;
}

// The largest of every 16th element.
template <bool kPrepared, class D>
HWY_INLINE void MaximaOfSlots(D d, const Real<D>* row, size_t n, Real<D>* slots) {
  constexpr size_t N = hn::MaxLanes(D()), kVectors = kCandidates / N;
  hn::Vec<D> maxima[kVectors];
  for (auto& m : maxima) m = hn::Neg(hn::Inf(d));
  size_t j = 0;
  for (; j + kCandidates <= n; j += kCandidates)
    for (size_t r = 0; r < kVectors; ++r)
      maxima[r] = hn::Max(maxima[r], LoadCandidates<kPrepared>(d, row, j + r * N, n));
  for (size_t r = 0; r < kVectors; ++r) {
    if (j + r * N < n) maxima[r] = hn::Max(maxima[r], LoadCandidates<kPrepared>(d, row, j + r * N, n));
    hn::StoreU(maxima[r], d, slots + r * N);
  }
}

// A row's candidates, -infinity after the last; of too many the k largest. Returns how many.
template <bool kPrepared, class D>
HWY_INLINE size_t CollectCandidates(D d, const GateMemory<D>& m, const Real<D>* row, size_t n, size_t k,
                                    Real<D> pivot, size_t lane) {
  using T = Real<D>;
  const hn::RebindToSigned<D> di;
  T* const values = m.candidates + lane * kCandidates;
  auto* const ids = m.candidate_ids + lane * kCandidates;
  const size_t count = CompressCandidates<kPrepared>(d, row, n, pivot, m.top_k);
  if (HWY_UNLIKELY(count > kCandidates)) {
    if (count <= 2 * kCandidates)
      RankCandidates(d, m.top_k, count, k, m.sorted);
    else
      RankManyCandidates(d, m.top_k, count, k, pivot, m.sorted);
    for (size_t s = 0; s < kCandidates; ++s) {
      values[s] = s < k ? FiniteScalar(row[m.sorted[s]]) : -std::numeric_limits<T>::infinity();
      ids[s] = s < k ? m.sorted[s] : 0;
    }
    return k;
  }
  for (size_t j = 0; j < kCandidates; j += hn::Lanes(d))
    hn::StoreU(hn::Neg(hn::Inf(d)), d, m.top_k.values + count + j);
  for (size_t j = 0; j < kCandidates; j += hn::Lanes(d)) {
    hn::StoreU(hn::LoadU(d, m.top_k.values + j), d, values + j);
    hn::StoreU(hn::LoadU(di, m.top_k.ids + j), di, ids + j);
  }
  return count;
}

template <bool kPrepared, class D>
HWY_NOINLINE void SelectCandidates(D d, const gate_job& job, const GateMemory<D>& m,
                                   const Real<D>* const* choice, size_t n, size_t count) {
  using T = Real<D>;
  const size_t k = job.gate.k, lanes = hn::Lanes(d);
  HWY_ALIGN T slots[kCandidates * hn::MaxLanes(D())];
  HWY_ALIGN T across[kCandidates * hn::MaxLanes(D())];
  HWY_ALIGN T pivots[hn::MaxLanes(D())];
  for (size_t r = 0; r < lanes; ++r)
    MaximaOfSlots<kPrepared>(d, choice[HWY_MIN(r, count - 1)], n, slots + r * kCandidates);
  LoadTransposed(d, slots, static_cast<ptrdiff_t>(kCandidates), kCandidates, across);
  hn::Store(KthOfSixteen(d, across, k), d, pivots);
  size_t most = k;
  for (size_t r = 0; r < count; ++r) {
    const size_t candidates = CollectCandidates<kPrepared>(d, m, choice[r], n, k, pivots[r], r);
    most = HWY_MAX(most, candidates);
  }
  HWY_ALIGN T ids[kCandidates * hn::MaxLanes(D())];
  LoadTransposed(d, m.candidates, static_cast<ptrdiff_t>(kCandidates), kCandidates, across);
  LoadTransposed(d, reinterpret_cast<const T*>(m.candidate_ids), static_cast<ptrdiff_t>(kCandidates),
                 kCandidates, ids);
  const hn::RebindToSigned<D> di;
  InsertKLargest(
      d, k, most,
      [&](size_t e, hn::Vec<D>& v, hn::Vec<hn::RebindToSigned<D>>& id) HWY_ATTR {
        v = hn::LoadU(d, across + e * lanes);
        id = hn::BitCast(di, hn::LoadU(d, ids + e * lanes));
      },
      m.logits, m.experts);
}

#endif

// Chooses for the tokens of a tile whose logits are rows.
template <class D>
HWY_INLINE void SelectRows(D d, const gate_job& job, const GateMemory<D>& m, const TokenRows<D>& rows) {
  using T = Real<D>;
  const bool is_prepared = job.needs_scores() || job.has_groups();
  const bool has_candidates = sizeof(T) == 4 && HWY_TARGET != HWY_SCALAR && job.gate.k <= kMostInserted;
  const bool groups_later = has_candidates && GroupsInTiles(job);
  const T* choice[HWY_MAX_BYTES / sizeof(T)];
  for (size_t r = 0; r < rows.count; ++r) {
    choice[r] = rows.at[r];
    if (!is_prepared) continue;
    T* const out = m.prepared + r * job.scratch.pitch;
    PrepareChoice(d, job, rows.at[r], job.gate.expert_bias.empty() ? nullptr : m.bias, groups_later, out,
                  m.exponentials, m.top_k, m.sorted);
    choice[r] = out;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    const size_t n = job.expert_count();
    if (groups_later) {
      KeptGroups<D> kept;
      KeepBestGroupsOfTile(d, job, m.prepared, rows.count, kept);
      SelectCandidates<true>(d, job, m, choice, n / job.gate.groups * job.gate.kept_groups, rows.count);
      return RestoreExperts(d, job, kept, m.experts);
    }
    if (has_candidates) {
      if (is_prepared) return SelectCandidates<true>(d, job, m, choice, n, rows.count);
      return SelectCandidates<false>(d, job, m, choice, n, rows.count);
    }
  }
#endif
  for (size_t r = 0; r < rows.count; ++r) SelectLane(d, job, m, choice[r], is_prepared, r);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
