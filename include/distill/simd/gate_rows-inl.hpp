// Tokens of a gate, as many at a time as a vector has lanes: their experts, however found, and the logits at
// them become tiles of one token per lane, from which the weights are made.
#if defined(DISTILL_SIMD_GATE_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_GATE_ROWS_INL_HPP
#undef DISTILL_SIMD_GATE_ROWS_INL_HPP
#else
#define DISTILL_SIMD_GATE_ROWS_INL_HPP
#endif

#include <distill/simd/gate_selection-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Up to so many experts, one token per lane, every expert is compared with the chosen ones; with more it is
// cheaper to go to them lane by lane.
inline constexpr size_t kCompared = 16;

// The softmax of each lane's token: its maximum, Σ exp(z - maximum), and their log Σ exp.
template <class T>
struct TokenSums {
  HWY_ALIGN T maximum[HWY_MAX_BYTES / sizeof(T)] = {};
  HWY_ALIGN T sum[HWY_MAX_BYTES / sizeof(T)] = {};
  HWY_ALIGN T log_sum[HWY_MAX_BYTES / sizeof(T)] = {};

  HWY_INLINE void Set(size_t lane, T largest, double total) {
    maximum[lane] = largest;
    sum[lane] = static_cast<T>(total);
  }
  template <class D>
  HWY_INLINE void TakeLogarithms(D d) {
    const auto above_1 = hn::Sub(hn::Load(d, sum), hn::Set(d, T{1}));
    hn::Store(hn::Add(hn::Load(d, maximum), Log1p(d, above_1)), d, log_sum);
  }
};

// Probabilities of a tile whose tokens are lanes; adds those of the lanes in `included` to the sums.
template <class D>
HWY_INLINE void SumLanes(D d, const gate_job& job, const GateMemory<D>& m, const LaneTile<Real<D>>& tile,
                         uint64_t included, TokenSums<Real<D>>& sums) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t n = job.expert_count(), lanes = hn::Lanes(d);
  V maximum = hn::Set(d, std::numeric_limits<T>::lowest());
  for (size_t e = 0; e < n; ++e) maximum = hn::Max(maximum, Finite(d, tile.Class(d, e)));
  V sum = hn::Zero(d);
  for (size_t e = 0; e < n; ++e) {
    const V x = Exponential(d, hn::Sub(Finite(d, tile.Class(d, e)), maximum));
    hn::StoreU(x, d, m.exponentials + e * lanes);
    sum = hn::Add(sum, x);
  }
  hn::Store(maximum, d, sums.maximum);
  hn::Store(sum, d, sums.sum);
  if (!job.sums_probabilities || included == 0) return;
  if (!job.is_softmax()) {
    sum = hn::Zero(d);
    for (size_t e = 0; e < n; ++e) {
      const V s = Score(d, job.gate.scoring, Finite(d, tile.Class(d, e)));
      hn::StoreU(s, d, m.exponentials + e * lanes);
      sum = hn::Add(sum, s);
    }
  }
  HWY_ALIGN T factors[HWY_MAX_BYTES / sizeof(T)] = {};
  for (size_t r = 0; r < lanes; ++r) factors[r] = static_cast<T>(included >> r & 1);
  const V factor = hn::Div(hn::Load(d, factors), hn::Max(sum, hn::Set(d, std::numeric_limits<T>::min())));
  for (size_t e = 0; e < n; ++e) {
    T* const at = m.sums + e * lanes;
    hn::StoreU(hn::MulAdd(hn::LoadU(d, m.exponentials + e * lanes), factor, hn::LoadU(d, at)), d, at);
  }
}

// The same of one token in a row, whose probabilities are left in the lane's row: returns what they are to be
// multiplied with, 0 if they do not count. Says whether the row is finite.
template <class D>
HWY_INLINE Real<D> SumRow(D d, const gate_job& job, const GateMemory<D>& m, const Real<D>* row, size_t lane,
                          bool& is_finite, TokenSums<Real<D>>& sums) {
  using T = Real<D>;
  const size_t n = job.expert_count();
  const bool is_known = !job.replay && !job.needs_scores();
  const T maximum = is_known ? m.logits[lane] : RowMaximum(d, row, n);
  T* const out = m.exponentials + lane * job.scratch.pitch;
  double sum = ExponentiateRow(d, row, n, maximum, out, is_finite);
  sums.Set(lane, maximum, sum);
  if (!job.sums_probabilities || !is_finite) return T{0};
  if (!job.is_softmax()) sum = ScoreRow(d, job.gate.scoring, row, n, out);
  return static_cast<T>(1 / HWY_MAX(sum, static_cast<double>(std::numeric_limits<T>::min())));
}

// Adds the probabilities of the rows in `included`, token after token.
template <class D>
HWY_INLINE void AddRows(D d, const gate_job& job, const GateMemory<D>& m, uint64_t included,
                        const Real<D>* factors) {
  using T = Real<D>;
  const T* rows[HWY_MAX_BYTES / sizeof(T)] = {};
  T factor[HWY_MAX_BYTES / sizeof(T)] = {};
  size_t count = 0;
  for (; included != 0; included &= included - 1) {
    const size_t r = hwy::Num0BitsBelowLS1Bit_Nonzero64(included);
    rows[count] = m.exponentials + r * job.scratch.pitch;
    factor[count++] = factors[r];
  }
  for (size_t j = 0; j < job.expert_count(); j += hn::Lanes(d)) {
    auto sum = hn::LoadU(d, m.sums + j);
    for (size_t i = 0; i < count; ++i)
      sum = hn::MulAdd(hn::LoadU(d, rows[i] + j), hn::Set(d, factor[i]), sum);
    hn::StoreU(sum, d, m.sums + j);
  }
}

// The weights of a tile from the logits of its experts. Experts that are none have the weight 0.
template <class D>
HWY_INLINE void WeighTile(D d, const gate_job& job, const GateMemory<D>& m, const TokenSums<Real<D>>& sums) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t k = job.gate.k, lanes = hn::Lanes(d);
  const V scale = hn::Set(d, static_cast<T>(job.gate.scaling_factor));
  if (!job.is_sparse()) {
    const V maximum = hn::Load(d, sums.maximum);
    const V factor = hn::Div(scale, hn::Max(hn::Load(d, sums.sum), hn::Set(d, T{1})));
    for (size_t s = 0; s < k; ++s)
      hn::StoreU(hn::Mul(factor, Exponential(d, hn::Sub(hn::LoadU(d, m.logits + s * lanes), maximum))), d,
                 m.weights + s * lanes);
    return;
  }
  const bool is_softmax = job.is_softmax();
  V maximum = hn::LoadU(d, m.logits);
  for (size_t s = 1; s < k && is_softmax; ++s) maximum = hn::Max(maximum, hn::LoadU(d, m.logits + s * lanes));
  LaneSums<D> wide(d);
  V sum = hn::Zero(d);
  for (size_t s = 0; s < k; ++s) {
    const V z = hn::LoadU(d, m.logits + s * lanes);
    const V e = is_softmax ? Exponential(d, hn::Sub(z, maximum)) : Score(d, job.gate.scoring, z);
    hn::StoreU(e, d, m.weights + s * lanes);
    sum = hn::Add(sum, e);
    if (s % kBlockClasses == kBlockClasses - 1) {
      wide.Add(d, sum);
      sum = hn::Zero(d);
    }
  }
  if (k >= kBlockClasses) {
    wide.Add(d, sum);
    sum = LaneSums<D>::Joined(d, wide.template Part<0>(), wide.template Part<LaneSums<D>::kParts - 1>());
  }
  if (!is_softmax && !job.gate.renormalize) sum = hn::Set(d, T{1});
  const V factor = hn::Div(scale, hn::Max(sum, hn::Set(d, std::numeric_limits<T>::min())));
  for (size_t s = 0; s < k; ++s)
    hn::StoreU(hn::Mul(hn::LoadU(d, m.weights + s * lanes), factor), d, m.weights + s * lanes);
}

// Rows of k entries from the tile, where a vector of the tile's elements can be written at once.
template <class D, class T>
HWY_INLINE bool StoreWholeTile([[maybe_unused]] D d, [[maybe_unused]] const T* tile, [[maybe_unused]] T* out,
                               [[maybe_unused]] ptrdiff_t pitch, [[maybe_unused]] size_t k) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    const auto at = [&](size_t s) HWY_ATTR { return hn::LoadU(d, tile + s * hn::Lanes(d)); };
    if (k == 1 && pitch == 1) return hn::StoreU(at(0), d, out), true;
    if (k == 2 && pitch == 2) return hn::StoreInterleaved2(at(0), at(1), d, out), true;
    if (k >= 4) {
      const hn::Rebind<float, D> df;
      StoreTransposed(df, reinterpret_cast<const float*>(tile), reinterpret_cast<float*>(out), pitch, k);
      return true;
    }
  }
#endif
  return false;
}

template <class D>
HWY_INLINE void StoreTile(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count,
                          uint64_t counted) {
  using T = Real<D>;
  const size_t k = job.gate.k, lanes = hn::Lanes(d);
  const hn::Rebind<int32_t, D> di;
  const bool whole = count == lanes && counted == (lanes == 64 ? ~uint64_t{0} : (uint64_t{1} << lanes) - 1);
  int32_t* const experts =
      job.replay ? nullptr
                 : job.experts.data_handle() + static_cast<ptrdiff_t>(token) * job.experts.stride(0);
  const bool compact_experts = experts != nullptr && (job.experts.stride(1) == 1 || k == 1);
  bool experts_done = job.replay, weights_done = false;
  if constexpr (sizeof(T) == 4) {
    if (whole && compact_experts)
      experts_done = StoreWholeTile(di, m.experts, experts, job.experts.stride(0), k);
  }
  if (whole && !job.replay && IsContiguousRowOf<T>(job.weights))
    weights_done = StoreWholeTile(
        d, m.weights,
        static_cast<T*>(job.weights.data) + static_cast<ptrdiff_t>(token) * job.weights.row_stride,
        job.weights.row_stride, k);
  if (experts_done && weights_done) return;
  for (size_t r = 0; r < count; ++r) {
    const bool is_counted = (counted >> r & 1) != 0;
    for (size_t s = 0; s < k && !experts_done; ++s)
      job.experts(token + r, s) = is_counted ? m.experts[s * lanes + r] : no_expert;
    if (weights_done) continue;
    WithRow(job.weights, token + r, [&](auto* p) {
      for (size_t s = 0; s < k; ++s) {
        const bool is_weighed = is_counted && m.experts[s * lanes + r] >= 0;
        Assign(is_weighed ? m.weights[s * lanes + r] : T{0},
               p[static_cast<ptrdiff_t>(s) * job.weights.column_stride]);
      }
    });
  }
}

// A tile from rows of k entries, one row for each lane.
template <class D, class T>
HWY_INLINE bool LoadWholeTile([[maybe_unused]] D d, [[maybe_unused]] const T* rows,
                              [[maybe_unused]] ptrdiff_t pitch, [[maybe_unused]] size_t k,
                              [[maybe_unused]] T* tile) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    if (k == 1 && pitch == 1) return hn::StoreU(hn::LoadU(d, rows), d, tile), true;
    if (k == 2 && pitch == 2) {
      hn::Vec<D> first, second;
      hn::LoadInterleaved2(d, rows, first, second);
      hn::StoreU(first, d, tile), hn::StoreU(second, d, tile + hn::Lanes(d));
      return true;
    }
    if (k >= 4) {
      const hn::Rebind<float, D> df;
      LoadTransposed(df, reinterpret_cast<const float*>(rows), pitch, k, reinterpret_cast<float*>(tile));
      return true;
    }
  }
#endif
  return false;
}

// A replayed choice: the tile of experts, and the logits at them; none has the score 0.
template <class D>
HWY_INLINE void ReadChoice(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count) {
  if constexpr (sizeof(Real<D>) == 4) {
    const hn::RebindToSigned<D> di;
    const int32_t* const first =
        job.experts.data_handle() + static_cast<ptrdiff_t>(token) * job.experts.stride(0);
    if (count == hn::Lanes(d) && job.token_mask.empty() && (job.experts.stride(1) == 1 || job.gate.k == 1) &&
        LoadWholeTile(di, first, job.experts.stride(0), job.gate.k, m.experts))
      return;
  }
  for (size_t r = 0; r < hn::Lanes(d); ++r)
    for (size_t s = 0; s < job.gate.k; ++s)
      m.experts[s * hn::Lanes(d) + r] =
          r < count && job.is_counted(token + r) ? job.experts(token + r, s) : no_expert;
}
template <class D>
HWY_INLINE void GatherLogits(D d, const gate_job& job, const GateMemory<D>& m, const TokenRows<D>& rows) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d), k = job.gate.k;
  const T none = std::numeric_limits<T>::lowest();
  for (size_t r = 0; r < rows.count; ++r) {
    const T* const row = rows.at[r];
    for (size_t s = 0; s < k; ++s) {
      const int32_t id = m.experts[s * lanes + r];
      const T z = row[HWY_MAX(id, 0)];
      m.logits[s * lanes + r] = id < 0 ? none : z;
    }
  }
  for (size_t r = rows.count; r < lanes; ++r)
    for (size_t s = 0; s < k; ++s) m.logits[s * lanes + r] = none;
  for (size_t i = 0; i < k * lanes; i += lanes)
    hn::StoreU(Finite(d, hn::LoadU(d, m.logits + i)), d, m.logits + i);
}

// Adds up what a tile's counted tokens chose.
template <class D>
HWY_INLINE void CountExperts(D d, const gate_job& job, const GateMemory<D>& m, uint64_t counted,
                             int64_t* assignments) {
  const size_t k = job.gate.k, lanes = hn::Lanes(d), n = job.expert_count();
  if constexpr (sizeof(Real<D>) == 4) {
    const hn::RebindToSigned<D> di;
    if (n <= kCompared && counted == (uint64_t{1} << lanes) - 1) {
      for (size_t e = 0; e < n; ++e) {
        const auto id = hn::Set(di, static_cast<int32_t>(e));
        size_t total = 0;
        for (size_t s = 0; s < k; ++s)
          total += hn::CountTrue(di, hn::Eq(hn::LoadU(di, m.experts + s * lanes), id));
        assignments[e] += static_cast<int64_t>(total);
      }
      return;
    }
  }
  for (; counted != 0; counted &= counted - 1) {
    const size_t r = hwy::Num0BitsBelowLS1Bit_Nonzero64(counted);
    for (size_t s = 0; s < k; ++s)
      if (m.experts[s * lanes + r] >= 0) ++assignments[m.experts[s * lanes + r]];
  }
}

template <class D>
HWY_INLINE void CountTile(D d, const gate_job& job, const GateMemory<D>& m, uint64_t counted, uint64_t finite,
                          const TokenSums<Real<D>>& sums, const ChunkCounters& chunk) {
  constexpr size_t kParts = 4;  // added apart, so that they need not wait for each other
  finite &= counted;
  chunk.tokens[0] += static_cast<int64_t>(hwy::PopCount(finite));
  chunk.tokens[1] += static_cast<int64_t>(hwy::PopCount(counted & ~finite));
  CountExperts(d, job, m, counted, chunk.assignments);
  if (!job.sums_probabilities) return;
  double squares[kParts] = {};
  for (size_t r = 0; r < hn::Lanes(d); ++r) {
    const double log_sum = (finite >> r & 1) != 0 ? static_cast<double>(sums.log_sum[r]) : 0;
    squares[r % kParts] += log_sum * log_sum;
  }
  *chunk.squares += (squares[0] + squares[1]) + (squares[2] + squares[3]);
}

// One tile: experts, weights and statistics of tokens [token, token + count).
template <class D>
HWY_INLINE void RouteTile(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count,
                          const ChunkCounters& chunk) {
  using T = Real<D>;
  const size_t n = job.expert_count();
  uint64_t counted = (uint64_t{1} << count) - 1, finite = 0;
  if (!job.token_mask.empty())
    for (size_t r = 0; r < count; ++r)
      if (!job.is_counted(token + r)) counted &= ~(uint64_t{1} << r);
  const bool wants_sums = job.sums_probabilities || !job.is_sparse();
  TokenSums<T> sums;
  if (job.across_tokens) {
    const auto tile = LoadRowTile(d, job.logits, token, count, m.tile, m.staging);
    finite = SelectAcross(d, job, m, tile);
    if (wants_sums) SumLanes(d, job, m, tile, counted & finite, sums);
  } else {
    TokenRows<D> rows;
    rows.Load(d, job, m, token, count);
    for (size_t r = 0; r < count && job.counts && !wants_sums; ++r)
      finite |= static_cast<uint64_t>((counted >> r & 1) != 0 && IsFiniteRow(d, rows.at[r], n)) << r;
    if (job.replay) {
      ReadChoice(d, job, m, token, count);
      GatherLogits(d, job, m, rows);
    } else {
      SelectRows(d, job, m, rows);
    }
    T factors[HWY_MAX_BYTES / sizeof(T)] = {};
    for (size_t r = 0; r < count && wants_sums; ++r) {
      if ((counted >> r & 1) == 0) continue;
      bool is_finite;
      factors[r] = SumRow(d, job, m, rows.at[r], r, is_finite, sums);
      finite |= static_cast<uint64_t>(is_finite) << r;
    }
    if (job.sums_probabilities) AddRows(d, job, m, finite, factors);
    if (!job.replay && job.needs_scores()) GatherLogits(d, job, m, rows);
  }
  if (job.sums_probabilities) sums.TakeLogarithms(d);
  WeighTile(d, job, m, sums);
  StoreTile(d, job, m, token, count, counted);
  if (job.counts) CountTile(d, job, m, counted, finite, sums, chunk);
}

// Carries the sums of the compute type over to the chunk's doubles.
template <class D>
HWY_INLINE void CarrySums(D d, const gate_job& job, const GateMemory<D>& m, const ChunkCounters& chunk) {
  const size_t width = job.across_tokens ? hn::Lanes(d) : 1;
  for (size_t e = 0; e < job.expert_count(); ++e) {
    double sum = 0;
    for (size_t r = 0; r < width; ++r) sum += static_cast<double>(m.sums[e * width + r]);
    chunk.probabilities[e] += sum;
  }
  m.ClearSums(job);
}

// Chunks [begin, end).
template <class T>
inline void RouteChunks(const gate_job& job, size_t begin, size_t end, void* scratch) {
  const hn::ScalableTag<T> d;
  const GateMemory<hn::ScalableTag<T>> m(job, scratch);
  const size_t lanes = hn::Lanes(d), tokens_per_carry = 128;
  m.FillBias(job);
  for (size_t c = begin; c < end; ++c) {
    const ChunkCounters chunk(job, c);
    const size_t first = job.chunk_begin(c), last = job.chunk_end(c);
    if (job.sums_probabilities) m.ClearSums(job);
    for (size_t token = first; token < last; token += lanes) {
      RouteTile(d, job, m, token, HWY_MIN(lanes, last - token), chunk);
      const size_t done = token + lanes - first;
      if (job.sums_probabilities && (done % tokens_per_carry == 0 || token + lanes >= last))
        CarrySums(d, job, m, chunk);
    }
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
