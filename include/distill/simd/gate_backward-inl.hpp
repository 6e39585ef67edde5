// The gradient of a gate's weights, of a loss linear in the router's probabilities, and of the router z-loss,
// in one pass over the logits.
#if defined(DISTILL_SIMD_GATE_BACKWARD_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_GATE_BACKWARD_INL_HPP
#undef DISTILL_SIMD_GATE_BACKWARD_INL_HPP
#else
#define DISTILL_SIMD_GATE_BACKWARD_INL_HPP
#endif

#include <distill/simd/gate_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What a token's dense gradient is made of: p_j (slope_j + shift), and what is added at its experts.
template <class T>
struct DenseTerms {
  HWY_ALIGN T shift[HWY_MAX_BYTES / sizeof(T)] = {};
};

// g of the tile's experts; 0 for none.
template <class D>
HWY_INLINE void ReadUpstream(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d), k = job.gate.k;
  if constexpr (sizeof(T) == 4) {
    const hn::RebindToSigned<D> di;
    const input_matrix& g = job.weight_gradient;
    if (g.data != nullptr && count == lanes && IsContiguousRowOf<T>(g) &&
        LoadWholeTile(d, static_cast<const T*>(g.data) + static_cast<ptrdiff_t>(token) * g.row_stride,
                      g.row_stride, k, m.upstream)) {
      for (size_t i = 0; i < k * lanes; i += lanes) {
        const auto is_none = hn::RebindMask(d, hn::Lt(hn::LoadU(di, m.experts + i), hn::Zero(di)));
        hn::StoreU(hn::IfThenZeroElse(is_none, hn::LoadU(d, m.upstream + i)), d, m.upstream + i);
      }
      return;
    }
  }
  for (size_t i = 0; i < k * lanes; ++i) m.upstream[i] = 0;
  if (job.weight_gradient.data == nullptr) return;
  for (size_t r = 0; r < count; ++r)
    WithRow(job.weight_gradient, token + r, [&](auto* p) {
      for (size_t s = 0; s < k; ++s)
        if (m.experts[s * lanes + r] >= 0)
          m.upstream[s * lanes + r] =
              Converted<T>(p[static_cast<ptrdiff_t>(s) * job.weight_gradient.column_stride]);
    });
}

// Turns g of a tile into what it contributes at the experts' logits; with weights that depend on all logits
// also into what it contributes at all of them, times p.
template <class D>
HWY_INLINE void PassThroughWeights(D d, const gate_job& job, const GateMemory<D>& m,
                                   const TokenSums<Real<D>>& sums, DenseTerms<Real<D>>& dense) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t k = job.gate.k, lanes = hn::Lanes(d);
  WeighTile(d, job, m, sums);
  V dot = hn::Zero(d), total = hn::Zero(d);
  for (size_t s = 0; s < k; ++s) {
    const V w = hn::LoadU(d, m.weights + s * lanes);
    dot = hn::MulAdd(hn::LoadU(d, m.upstream + s * lanes), w, dot);
    if (!job.is_softmax())
      total = hn::Add(total, Score(d, job.gate.scoring, hn::LoadU(d, m.logits + s * lanes)));
  }
  const T scale = static_cast<T>(job.gate.scaling_factor);
  V mean = hn::Zero(d);  // Σ g v
  if (job.is_sparse() && (job.is_softmax() || job.gate.renormalize)) {
    mean = scale == 0 ? hn::Zero(d) : hn::Div(dot, hn::Set(d, scale));
    if (!job.is_softmax())  // a sum of scores held at the smallest number does not move
      mean = hn::IfThenElse(hn::Lt(total, hn::Set(d, std::numeric_limits<T>::min())), hn::Zero(d), mean);
  }
  if (!job.is_sparse()) hn::Store(hn::Neg(dot), d, dense.shift);
  for (size_t s = 0; s < k; ++s) {
    const V w = hn::LoadU(d, m.weights + s * lanes), g = hn::LoadU(d, m.upstream + s * lanes);
    V out = hn::Mul(w, hn::Sub(g, mean));
    if (!job.is_softmax())
      out = hn::Mul(out, LogarithmicSlope(d, job.gate.scoring, hn::LoadU(d, m.logits + s * lanes)));
    hn::StoreU(out, d, m.upstream + s * lanes);
  }
}

// ---- dense rows

// A token's row of p, from its exponentials or scores, and what belongs to it.
template <class D>
struct DenseRow {
  using T = Real<D>;
  T* values;  // exp(z - maximum), to be overwritten by the gradient
  const T* logits;
  const T* slopes;  // null: none
  double sum;
  T shift;  // of the softmax: added to every slope
};

// values -> p (slope + shift).
template <class D>
HWY_INLINE void FinishSoftmaxRow(D d, const DenseRow<D>& row, size_t n) {
  using V = hn::Vec<D>;
  using T = Real<D>;
  V dot = hn::Zero(d);
  const double one_over = 1 / row.sum;
  const V inverse = hn::Set(d, static_cast<T>(one_over));
  if (row.slopes != nullptr)
    for (size_t j = 0; j < n; j += hn::Lanes(d))
      dot = hn::MulAdd(hn::LoadU(d, row.values + j), hn::LoadU(d, row.slopes + j), dot);
  const T mean = static_cast<T>(static_cast<double>(hn::GetLane(hn::SumOfLanes(d, dot))) * one_over);
  const V shift = hn::Set(d, row.shift - mean);
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    const V p = hn::Mul(hn::LoadU(d, row.values + j), inverse);
    const V u = row.slopes == nullptr ? shift : hn::Add(hn::LoadU(d, row.slopes + j), shift);
    hn::StoreU(hn::Mul(p, u), d, row.values + j);
  }
}

// Adds the slopes of scores divided by their sum: (a - Σ a q) q times the logarithmic slope. Needs a spare
// row.
template <class D>
HWY_INLINE void AddScoreRow(D d, const gate_job& job, const DenseRow<D>& row, Real<D>* scores) {
  using V = hn::Vec<D>;
  using T = Real<D>;
  const size_t n = job.expert_count();
  const double sum = ScoreRow(d, job.gate.scoring, row.logits, n, scores);
  const double held = HWY_MAX(sum, static_cast<double>(std::numeric_limits<T>::min()));
  V dot = hn::Zero(d);
  for (size_t j = 0; j < n; j += hn::Lanes(d))
    dot = hn::MulAdd(hn::LoadU(d, scores + j), hn::LoadU(d, row.slopes + j), dot);
  const T mean =
      held > sum ? T{0} : static_cast<T>(static_cast<double>(hn::GetLane(hn::SumOfLanes(d, dot))) / held);
  const V shift = hn::Set(d, mean), inverse = hn::Set(d, static_cast<T>(1 / held));
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    const V q = hn::Mul(hn::LoadU(d, scores + j), inverse);
    const V slope = LogarithmicSlope(d, job.gate.scoring, LoadFinite(d, row.logits, j, n));
    const V g = hn::Mul(hn::Mul(q, slope), hn::Sub(hn::LoadU(d, row.slopes + j), shift));
    hn::StoreU(hn::Add(hn::LoadU(d, row.values + j), g), d, row.values + j);
  }
}

// The dense gradient of a token into row.values.
template <class D>
HWY_INLINE void FinishDenseRow(D d, const gate_job& job, DenseRow<D> row, bool is_finite, Real<D> log_sum,
                               Real<D>* spare) {
  using T = Real<D>;
  const size_t n = job.expert_count();
  if (!is_finite)
    row.slopes = nullptr;
  else
    row.shift += static_cast<T>(2 * job.z_loss * static_cast<double>(log_sum));
  const bool softmax_slopes = job.is_softmax() && row.slopes != nullptr;
  const T* const slopes = row.slopes;
  row.slopes = softmax_slopes ? slopes : nullptr;
  if (softmax_slopes || row.shift != 0)
    FinishSoftmaxRow(d, row, n);
  else
    for (size_t j = 0; j < n; j += hn::Lanes(d)) hn::StoreU(hn::Zero(d), d, row.values + j);
  row.slopes = slopes;
  if (slopes != nullptr && !softmax_slopes) AddScoreRow(d, job, row, spare);
}

// Adds the jitter's factors and writes a token's row.
template <class D>
HWY_INLINE void StoreGradientRow(D d, const gate_job& job, Real<D>* values, size_t token) {
  using T = Real<D>;
  const size_t n = job.expert_count();
  if (job.gate.jitter > 0)
    for (size_t e = 0; e < n; ++e) values[e] = static_cast<T>(values[e] * job.jitter_factor(token, e));
  if (IsContiguousRowOf<T>(job.gradient) && !job.accumulate) {
    T* const out =
        static_cast<T*>(job.gradient.data) + static_cast<ptrdiff_t>(token) * job.gradient.row_stride;
    for (size_t j = 0; j < n; j += hn::Lanes(d))
      StoreUpTo(d, hn::LoadU(d, values + j), out + j, HWY_MIN(hn::Lanes(d), n - j));
    return;
  }
  StoreRow(job.gradient, token, values, job.accumulate);
}

// The gradients of a tile's experts only: [tokens, k].
template <class D>
HWY_INLINE void StoreSelected(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d);
  for (size_t r = 0; r < count; ++r)
    WithRow(job.gradient, token + r, [&](auto* p) {
      for (size_t s = 0; s < job.gate.k; ++s) {
        auto& out = p[static_cast<ptrdiff_t>(s) * job.gradient.column_stride];
        const int32_t id = m.experts[s * lanes + r];
        T g = id >= 0 ? m.upstream[s * lanes + r] : T{0};
        if (id >= 0 && job.gate.jitter > 0)
          g = static_cast<T>(g * job.jitter_factor(token + r, static_cast<size_t>(id)));
        Assign(job.accumulate ? g + Converted<T>(out) : g, out);
      }
    });
}

// The slopes that a token's probabilities have, in the compute type, 0 beyond the last expert.
template <class D>
HWY_INLINE void ReadSlopes(D, const gate_job& job, const GateMemory<D>& m, size_t sequence) {
  using T = Real<D>;
  for (size_t e = 0; e < job.scratch.pitch; ++e)
    m.bias[e] = e < job.expert_count() ? static_cast<T>(job.slopes(sequence, e)) : T{0};
}

// The logits at the experts of a tile whose tokens are lanes; none has the score 0.
template <class D>
HWY_INLINE void GatherAcross(D d, const gate_job& job, const GateMemory<D>& m,
                             const LaneTile<Real<D>>& tile) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d), n = job.expert_count(), k = job.gate.k;
  if constexpr (sizeof(T) == 4) {
    const hn::RebindToSigned<D> di;
    if (n <= kCompared) {
      for (size_t s = 0; s < k; ++s) {
        const auto id = hn::LoadU(di, m.experts + s * lanes);
        auto z = hn::Set(d, std::numeric_limits<T>::lowest());
        for (size_t e = 0; e < n; ++e) {
          const auto is_chosen = hn::RebindMask(d, hn::Eq(id, hn::Set(di, static_cast<int32_t>(e))));
          z = hn::IfThenElse(is_chosen, tile.Class(d, e), z);
        }
        hn::StoreU(Finite(d, z), d, m.logits + s * lanes);
      }
      return;
    }
  }
  for (size_t s = 0; s < k; ++s)
    for (size_t r = 0; r < lanes; ++r) {
      const int32_t id = m.experts[s * lanes + r];
      const T z = tile.data[static_cast<ptrdiff_t>(HWY_MAX(id, 0)) * tile.pitch + static_cast<ptrdiff_t>(r)];
      m.logits[s * lanes + r] = id < 0 ? std::numeric_limits<T>::lowest() : FiniteScalar(z);
    }
}

// Adds what belongs to the experts of a tile to the dense gradient in `exponentials`.
template <class D>
HWY_INLINE void ScatterAcross(D d, const gate_job& job, const GateMemory<D>& m) {
  const size_t lanes = hn::Lanes(d), n = job.expert_count(), k = job.gate.k;
  if constexpr (sizeof(Real<D>) == 4) {
    const hn::RebindToSigned<D> di;
    if (n <= kCompared) {
      for (size_t e = 0; e < n; ++e) {
        const auto id = hn::Set(di, static_cast<int32_t>(e));
        auto sum = hn::LoadU(d, m.exponentials + e * lanes);
        for (size_t s = 0; s < k; ++s) {
          const auto is_chosen = hn::RebindMask(d, hn::Eq(hn::LoadU(di, m.experts + s * lanes), id));
          sum = hn::Add(sum, hn::IfThenElseZero(is_chosen, hn::LoadU(d, m.upstream + s * lanes)));
        }
        hn::StoreU(sum, d, m.exponentials + e * lanes);
      }
      return;
    }
  }
  for (size_t s = 0; s < k; ++s)
    for (size_t r = 0; r < lanes; ++r)
      if (m.experts[s * lanes + r] >= 0)
        m.exponentials[static_cast<size_t>(m.experts[s * lanes + r]) * lanes + r] +=
            m.upstream[s * lanes + r];
}

// Few experts, normalised softmax weights: one token per lane throughout.
template <class D>
HWY_INLINE void BackwardAcross(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d), n = job.expert_count();
  const bool has_slopes = job.slopes.rows() > 0, has_weights = job.weight_gradient.data != nullptr;
  const auto tile = LoadRowTile(d, job.logits, token, count, m.tile, m.staging);
  V maximum = hn::Set(d, std::numeric_limits<T>::lowest()), difference = hn::Zero(d);
  for (size_t e = 0; e < n; ++e) {
    const V z = tile.Class(d, e);
    difference = hn::Or(difference, hn::Sub(z, z));
    maximum = hn::Max(maximum, Finite(d, z));
  }
  V sum = hn::Zero(d), dot = hn::Zero(d);
  for (size_t e = 0; e < n; ++e) {
    const V x = Exponential(d, hn::Sub(Finite(d, tile.Class(d, e)), maximum));
    hn::StoreU(x, d, m.exponentials + e * lanes);
    sum = hn::Add(sum, x);
    if (has_slopes) dot = hn::MulAdd(x, hn::Set(d, m.bias[e]), dot);
  }
  // The tile of experts and of their gradients, in the lanes.
  const TokenSums<T> sums;
  DenseTerms<T> dense;
  ReadChoice(d, job, m, token, count);
  ReadUpstream(d, job, m, token, count);
  if (has_weights) {
    GatherAcross(d, job, m, tile);
    PassThroughWeights(d, job, m, sums, dense);
  }
  auto is_finite = hn::Eq(difference, hn::Zero(d));
  if (!job.token_mask.empty()) {
    HWY_ALIGN T counted[hn::MaxLanes(D())] = {};
    for (size_t r = 0; r < count; ++r) counted[r] = static_cast<T>(job.is_counted(token + r));
    is_finite = hn::And(is_finite, hn::Gt(hn::Load(d, counted), hn::Zero(d)));
  }
  const V inverse = hn::IfThenElseZero(is_finite, hn::Div(hn::Set(d, T{1}), sum));
  const V log_sum = hn::Add(maximum, Log1p(d, hn::Sub(sum, hn::Set(d, T{1}))));
  const V shift = hn::MulSub(hn::IfThenElseZero(is_finite, log_sum),
                             hn::Set(d, static_cast<T>(2 * job.z_loss)), hn::Mul(dot, inverse));
  for (size_t e = 0; e < n; ++e) {
    const V p = hn::Mul(hn::LoadU(d, m.exponentials + e * lanes), inverse);
    hn::StoreU(hn::Mul(p, hn::Add(hn::Set(d, has_slopes ? m.bias[e] : T{0}), shift)), d,
               m.exponentials + e * lanes);
  }
  if (has_weights) ScatterAcross(d, job, m);
  if (job.accumulate) {
    input_matrix before;
    before.data = job.gradient.data, before.type = job.gradient.type;
    before.rows = job.gradient.rows, before.columns = job.gradient.columns;
    before.row_stride = job.gradient.row_stride, before.column_stride = job.gradient.column_stride;
    const auto there = LoadRowTile(d, before, token, count, m.tile, m.staging);
    for (size_t e = 0; e < n; ++e) {
      T* const at = m.exponentials + e * lanes;
      hn::StoreU(hn::Add(there.Class(d, e), hn::LoadU(d, at)), d, at);
    }
  }
  StoreRowTile(
      d, job.gradient, token, count, true, [](size_t) { return false; }, m.exponentials, m.staging);
}

template <class D>
HWY_INLINE void BackwardTile(D d, const gate_job& job, const GateMemory<D>& m, size_t token, size_t count,
                             size_t& sequence) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d), n = job.expert_count(), k = job.gate.k;
  const bool has_slopes = job.slopes.rows() > 0;
  const bool has_weights = job.weight_gradient.data != nullptr;
  const bool is_dense = has_slopes || job.z_loss != 0 || (has_weights && !job.is_sparse());
  TokenRows<D> rows;
  rows.Load(d, job, m, token, count);
  TokenSums<T> sums;
  double totals[HWY_MAX_BYTES / sizeof(T)] = {};
  uint64_t finite = 0;
  for (size_t r = 0; r < count && is_dense; ++r) {
    bool is_finite;
    const T maximum = RowMaximum(d, rows.at[r], n, is_finite);
    finite |= static_cast<uint64_t>(is_finite) << r;
    totals[r] = ExponentiateRow(d, rows.at[r], n, maximum, m.exponentials + r * job.scratch.pitch);
    sums.Set(r, maximum, totals[r]);
  }
  if (job.z_loss != 0) sums.TakeLogarithms(d);
  DenseTerms<T> dense;
  ReadChoice(d, job, m, token, count);
  ReadUpstream(d, job, m, token, count);
  if (has_weights) {
    GatherLogits(d, job, m, rows);
    PassThroughWeights(d, job, m, sums, dense);
  }
  if (job.selected_only) return StoreSelected(d, job, m, token, count);
  for (size_t r = 0; r < count; ++r) {
    T* const values = m.exponentials + r * job.scratch.pitch;
    const bool is_counted = job.is_counted(token + r);
    if (is_dense && is_counted) {
      const size_t of = job.tokens_per_sequence == 0 ? 0 : (token + r) / job.tokens_per_sequence;
      if (has_slopes && of != sequence) ReadSlopes(d, job, m, sequence = of);
      const bool is_finite = (finite >> r & 1) != 0;
      FinishDenseRow(
          d, job, DenseRow<D>{values, rows.at[r], has_slopes ? m.bias : nullptr, totals[r], dense.shift[r]},
          is_finite, sums.log_sum[r], m.prepared);
    } else {
      for (size_t j = 0; j < n; j += lanes) hn::StoreU(hn::Zero(d), d, values + j);
    }
    for (size_t s = 0; s < k && is_counted && has_weights; ++s)
      if (m.experts[s * lanes + r] >= 0) values[m.experts[s * lanes + r]] += m.upstream[s * lanes + r];
    StoreGradientRow(d, job, values, token + r);
  }
}

template <class T>
inline void BackwardTokens(const gate_job& job, size_t begin, size_t end, void* scratch) {
  const hn::ScalableTag<T> d;
  const GateMemory<hn::ScalableTag<T>> m(job, scratch);
  size_t sequence = ~size_t{0};
  if (job.across_tokens) {
    if (job.slopes.rows() > 0) ReadSlopes(d, job, m, 0);
    for (size_t token = begin; token < end; token += hn::Lanes(d))
      BackwardAcross(d, job, m, token, HWY_MIN(hn::Lanes(d), end - token));
    return RestoreX87();
  }
  for (size_t token = begin; token < end; token += hn::Lanes(d))
    BackwardTile(d, job, m, token, HWY_MIN(hn::Lanes(d), end - token), sequence);
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
