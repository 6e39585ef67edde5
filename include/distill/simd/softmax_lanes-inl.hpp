// softmax, its relatives and their gradients on as many rows as a vector has lanes, one row per lane.
#if defined(DISTILL_SIMD_SOFTMAX_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_SOFTMAX_LANES_INL_HPP
#undef DISTILL_SIMD_SOFTMAX_LANES_INL_HPP
#else
#define DISTILL_SIMD_SOFTMAX_LANES_INL_HPP
#endif

#include <distill/numeric/softmax_job.hpp>
#include <distill/simd/row_tiles-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {
DISTILL_INLINE void resolve_softmax_row(const softmax_job& job, std::size_t row);
}

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::resolve_softmax_row;
using detail::softmax_job;
using detail::softmax_kind;

// 1 / T and log2(e) / T in the compute type, kept finite and above 0 so that -inf times it stays -inf.
template <class T>
HWY_INLINE T ScaleForTemperature(double numerator, double temperature) {
  constexpr double most = sizeof(T) == 4 ? 3e38 : 1e308, least = sizeof(T) == 4 ? 1e-37 : 1e-307;
  return static_cast<T>(HWY_MAX(least, HWY_MIN(most, numerator / temperature)));
}

template <class T>
HWY_INLINE T VectorEntry(const input_matrix& v, size_t row) {
  T entry{};
  WithRow(v, row, [&](auto* p) { entry = Converted<T>(*p); });
  return entry;
}

// Sums of a tile's exponentials per lane, and where they are.
template <class D>
struct LaneExponentials {
  LaneSums<D> sum;
  hn::Vec<D> maximum;
  HWY_INLINE explicit LaneExponentials(D d) : sum(d), maximum(hn::Zero(d)) {}
};

template <bool kStore, class D>
HWY_INLINE LaneExponentials<D> ExponentiateTile(D d, const LaneTile<Real<D>>& tile, size_t classes,
                                                double temperature, Real<D>* HWY_RESTRICT exponentials) {
  using V = hn::Vec<D>;
  LaneExponentials<D> result(d);
  result.maximum = LaneMaximum(d, tile, classes);
  const V scale = hn::Set(d, ScaleForTemperature<Real<D>>(kLog2e, temperature));
  for (size_t begin = 0; begin < classes; begin += kBlockClasses) {
    V block = hn::Zero(d);
    for (size_t c = begin; c < HWY_MIN(classes, begin + kBlockClasses); ++c) {
      const V e = Exp2Fast(d, hn::Mul(hn::Sub(tile.Class(d, c), result.maximum), scale));
      if constexpr (kStore) hn::StoreU(e, d, exponentials + c * hn::Lanes(d));
      block = hn::Add(block, e);
    }
    result.sum.Add(d, block);
  }
  return result;
}

// The tile's log Σ exp per lane, in double.
template <class D>
HWY_INLINE void LogSumTile(D d, const LaneExponentials<D>& x, double temperature, double* values) {
  const typename LaneSums<D>::Wide wide;
  LaneSums<D> maximum(d);
  maximum.Add(d, x.maximum);
  const auto inverse = hn::Set(wide, 1 / temperature), one = hn::Set(wide, 1.0);
  StoreLaneValues(d, values, [&](auto part) HWY_ATTR {
    return hn::MulAdd(maximum.template Part<part()>(), inverse,
                      Log1p(wide, hn::Sub(x.sum.template Part<part()>(), one)));
  });
}

template <class D>
HWY_INLINE void GradientTile(D d, const softmax_job& job, const LaneTile<Real<D>>& input,
                             const LaneTile<Real<D>>& upstream, const OutputTile<Real<D>>& out) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const bool is_log = job.kind == softmax_kind::log_softmax_backward;
  const V one = hn::Set(d, T{1}), inverse = hn::Set(d, ScaleForTemperature<T>(1, job.temperature));
  LaneSums<D> sums(d);
  for (size_t begin = 0; begin < job.classes(); begin += kBlockClasses) {
    V block = hn::Zero(d);
    for (size_t c = begin; c < HWY_MIN(job.classes(), begin + kBlockClasses); ++c)
      block = hn::MulAdd(is_log ? one : input.Class(d, c), upstream.Class(d, c), block);
    sums.Add(d, block);
  }
  const V sum =
      LaneSums<D>::Joined(d, sums.template Part<0>(), sums.template Part<LaneSums<D>::kParts - 1>());
  const V log2e = hn::Set(d, static_cast<T>(kLog2e));
  for (size_t c = 0; c < job.classes(); ++c) {
    const V x = input.Class(d, c), u = upstream.Class(d, c);
    const V g = is_log ? hn::NegMulAdd(Exp2Fast(d, hn::Mul(x, log2e)), sum, u) : hn::Mul(x, hn::Sub(u, sum));
    out.Store(d, c, hn::Mul(g, inverse));
  }
}

// softmax, log_softmax and log_sum_exp_backward of one tile.
template <class D>
HWY_INLINE void OutputOfTile(D d, const softmax_job& job, size_t row, size_t count,
                             const LaneTile<Real<D>>& input, const LaneExponentials<D>& x,
                             const Real<D>* exponentials, const OutputTile<Real<D>>& out) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  using Sums = LaneSums<D>;
  const size_t lanes = hn::Lanes(d);
  const V sum = Sums::Joined(d, x.sum.template Part<0>(), x.sum.template Part<Sums::kParts - 1>());
  const V one = hn::Set(d, T{1});
  if (job.kind == softmax_kind::log_softmax) {
    const V inverse = hn::Set(d, ScaleForTemperature<T>(1, job.temperature));
    const V log_sum = Log1p(d, hn::Sub(sum, one));
    for (size_t c = 0; c < job.classes(); ++c)
      out.Store(d, c, hn::MulSub(hn::Sub(input.Class(d, c), x.maximum), inverse, log_sum));
    return;
  }
  V norm = hn::Div(one, sum);
  if (job.kind == softmax_kind::log_sum_exp_backward) {
    HWY_ALIGN T factors[HWY_MAX_BYTES / sizeof(T)] = {};
    for (size_t r = 0; r < count; ++r)
      factors[r] = static_cast<T>(VectorEntry<double>(job.upstream, row + r) / job.temperature);
    norm = hn::Mul(norm, hn::Load(d, factors));
  }
  for (size_t c = 0; c < job.classes(); ++c)
    out.Store(d, c, hn::Mul(hn::LoadU(d, exponentials + c * lanes), norm));
}

// True for lanes that have a finite sum above 0: the others are resolved one by one.
template <class D>
HWY_INLINE uint64_t UnresolvedLanes(D d, const LaneExponentials<D>& x, size_t count) {
  HWY_ALIGN double sums[HWY_MAX_BYTES / sizeof(Real<D>)] = {};
  bool all = true;
  const typename LaneSums<D>::Wide wide;
  StoreLaneValues(d, sums, [&](auto part) HWY_ATTR {
    const auto sum = x.sum.template Part<part()>();
    all = all && hn::AllTrue(wide, hn::And(hn::Gt(sum, hn::Zero(wide)), hn::Lt(sum, hn::Set(wide, 1e300))));
    return sum;
  });
  uint64_t lanes = 0;
  if (all) return lanes;
  for (size_t r = 0; r < count; ++r)
    if (!(sums[r] > 0 && sums[r] < 1e300)) lanes |= uint64_t{1} << r;
  return lanes;
}

template <class T>
HWY_NOINLINE void SoftmaxTile(const softmax_job& job, size_t row, size_t count, T* HWY_RESTRICT scratch) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d), pitch = job.scratch.pitch;
  T* const exponentials = scratch + static_cast<size_t>(job.scratch.exponentials) * pitch;
  T* const output_copy = scratch + static_cast<size_t>(job.scratch.output) * pitch;
  const auto input = LoadRowTile(d, job.input, row, count,
                                 scratch + static_cast<size_t>(job.scratch.input) * pitch, exponentials);
  const bool full = count == lanes;
  uint64_t unresolved = 0;
  auto out = OutputTileOf(job.output, row, full, lanes, output_copy);
  if (job.kind == softmax_kind::softmax_backward || job.kind == softmax_kind::log_softmax_backward) {
    T* const upstream_copy = scratch + static_cast<size_t>(job.scratch.upstream) * pitch;
    GradientTile(d, job, input, LoadRowTile(d, job.upstream, row, count, upstream_copy, exponentials), out);
  } else if (job.kind == softmax_kind::log_sum_exp) {
    HWY_ALIGN double values[HWY_MAX_BYTES / sizeof(T)] = {};
    const auto x = ExponentiateTile<false>(d, input, job.classes(), job.temperature, exponentials);
    LogSumTile(d, x, job.temperature, values);
    unresolved = UnresolvedLanes(d, x, count);
    for (size_t r = 0; r < count; ++r)
      if ((unresolved >> r & 1) == 0) WithRow(job.output, row + r, [&](auto* p) { Assign(values[r], *p); });
  } else {
    const auto x = job.kind == softmax_kind::log_softmax
                       ? ExponentiateTile<false>(d, input, job.classes(), job.temperature, exponentials)
                       : ExponentiateTile<true>(d, input, job.classes(), job.temperature, exponentials);
    unresolved = UnresolvedLanes(d, x, count);
    if (unresolved != 0) out = OutputTileOf(job.output, row, false, lanes, output_copy);
    OutputOfTile(d, job, row, count, input, x, exponentials, out);
  }
  if (!out.in_place && job.kind != softmax_kind::log_sum_exp)
    StoreRowTile(
        d, job.output, row, count, unresolved == 0, [&](size_t r) { return (unresolved >> r & 1) != 0; },
        output_copy, exponentials);
  for (size_t r = 0; r < count; ++r)
    if ((unresolved >> r & 1) != 0) resolve_softmax_row(job, row + r);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
