// A range of rows of a softmax job: chooses how its rows are walked. The gradients of contiguous rows.
#if defined(DISTILL_SIMD_SOFTMAX_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_SOFTMAX_INL_HPP
#undef DISTILL_SIMD_SOFTMAX_INL_HPP
#else
#define DISTILL_SIMD_SOFTMAX_INL_HPP
#endif

#include <distill/simd/softmax_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE void StreamUpTo(D d, hn::Vec<D> v, Real<D>* p, size_t count) {
  if (count == hn::Lanes(d))
    hn::Stream(v, d, p);
  else
    StorePart(d, v, p, count);
}

// One row of softmax_backward (x: probabilities) or log_softmax_backward (x: log-probabilities).
template <bool kLog, class D>
HWY_NOINLINE void GradientRow(D d, const Real<D>* x, const Real<D>* u, Real<D>* out, size_t n,
                              double temperature, bool bypass_cache) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  WideSum<D> sum(d);
  V block = hn::Zero(d);
  ForEachVector(
      d, n,
      [&](size_t j, size_t count) HWY_ATTR {
        const V v = LoadUpTo(d, u + j, count);
        block = kLog ? hn::Add(block, v) : hn::MulAdd(LoadUpTo(d, x + j, count), v, block);
      },
      [&]() HWY_ATTR {
        sum.Add(d, block);
        block = hn::Zero(d);
      });
  const V total = hn::Set(d, static_cast<T>(sum.Total(d))), log2e = hn::Set(d, static_cast<T>(kLog2e));
  const V inverse = hn::Set(d, ScaleForTemperature<T>(1, temperature));
  const auto gradient = [&](size_t j, size_t count) HWY_ATTR {
    const V a = LoadUpTo(d, x + j, count), v = LoadUpTo(d, u + j, count);
    V g;
    if constexpr (kLog)
      g = hn::NegMulAdd(Exp2Fast(d, hn::Mul(a, log2e)), total, v);
    else
      g = hn::Mul(a, hn::Sub(v, total));
    return hn::Mul(g, inverse);
  };
  if (!bypass_cache)
    return ForEachVector(
        d, n, [&](size_t j, size_t count) HWY_ATTR { StoreUpTo(d, gradient(j, count), out + j, count); });
  // Stores past the cache need alignment.
  constexpr size_t kBytes = sizeof(V);
  const size_t head = HWY_MIN(n, (kBytes - reinterpret_cast<uintptr_t>(out) % kBytes) % kBytes / sizeof(T));
  if (head > 0) StorePart(d, gradient(0, head), out, head);
  ForEachVector(d, n - head, [&](size_t j, size_t count) HWY_ATTR {
    StreamUpTo(d, gradient(head + j, count), out + head + j, count);
  });
}

template <class T>
HWY_INLINE void GradientRows(const softmax_job& job, size_t begin, size_t end, T* HWY_RESTRICT scratch) {
  const hn::ScalableTag<T> d;
  const auto copy = [&](int index) {
    return index < 0 ? nullptr : scratch + static_cast<size_t>(index) * job.scratch.pitch;
  };
  T* const output_copy = copy(job.scratch.output);
  const bool bypass = job.bypass_cache && output_copy == nullptr;
  for (size_t row = begin; row < end; ++row) {
    const T* x = RowAs<T>(job.input, row, copy(job.scratch.input));
    const T* u = RowAs<T>(job.upstream, row, copy(job.scratch.upstream));
    T* out = output_copy;
    if (out == nullptr)
      out = static_cast<T*>(job.output.data) + static_cast<ptrdiff_t>(row) * job.output.row_stride;
    if (job.kind == softmax_kind::softmax_backward)
      GradientRow<false>(d, x, u, out, job.classes(), job.temperature, bypass);
    else
      GradientRow<true>(d, x, u, out, job.classes(), job.temperature, bypass);
    if (output_copy != nullptr) StoreRow(job.output, row, output_copy, false);
  }
  if (bypass) hwy::FlushStream();
}

// Forward rows whose elements are In and Out in memory, or copied to scratch where those are the compute
// type.
template <class T, class In, class Out>
HWY_INLINE void ForwardRows(const softmax_job& job, size_t begin, size_t end, T* HWY_RESTRICT scratch) {
  using D = hn::ScalableTag<T>;
  switch (job.kind) {
    case softmax_kind::log_softmax:
      return SoftmaxRows<D, In, Out, softmax_kind::log_softmax>(job, scratch).Run(begin, end);
    case softmax_kind::log_sum_exp:
      return SoftmaxRows<D, In, T, softmax_kind::log_sum_exp>(job, scratch).Run(begin, end);
    default:
      return SoftmaxRows<D, In, Out, softmax_kind::softmax>(job, scratch).Run(begin, end);
  }
}

template <class T>
HWY_INLINE void SoftmaxRange(const softmax_job& job, size_t begin, size_t end, T* HWY_RESTRICT scratch) {
  if (job.across_rows) {
    const size_t lanes = hn::Lanes(hn::ScalableTag<T>());
    for (size_t row = begin; row < end; row += lanes)
      SoftmaxTile(job, row, HWY_MIN(lanes, end - row), scratch);
    return;
  }
  if (job.kind == softmax_kind::softmax_backward || job.kind == softmax_kind::log_softmax_backward)
    return GradientRows(job, begin, end, scratch);
  if constexpr (sizeof(T) == 4) {
    if (job.scratch.input < 0) {
      if (job.input.type == element_type::bfloat16)
        return ForwardRows<T, bfloat16, bfloat16>(job, begin, end, scratch);
      if (job.input.type == element_type::float16)
        return ForwardRows<T, float16, float16>(job, begin, end, scratch);
    }
  }
  ForwardRows<T, T, T>(job, begin, end, scratch);
}

inline void SoftmaxRowsFloat(const softmax_job& job, size_t begin, size_t end, void* scratch) {
  SoftmaxRange(job, begin, end, static_cast<float*>(scratch));
  RestoreX87();
}
inline void SoftmaxRowsDouble(const softmax_job& job, size_t begin, size_t end, void* scratch) {
  SoftmaxRange(job, begin, end, static_cast<double*>(scratch));
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
