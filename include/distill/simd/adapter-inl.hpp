// What an adapter does between its products: GELU, layer normalisation, sums of columns, and their gradients.
#if defined(DISTILL_SIMD_ADAPTER_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ADAPTER_INL_HPP
#undef DISTILL_SIMD_ADAPTER_INL_HPP
#else
#define DISTILL_SIMD_ADAPTER_INL_HPP
#endif

#include <cmath>
#include <distill/alignment/adapter_job.hpp>
#include <distill/simd/row_walk-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::adapter_job;
using detail::adapter_step;

// Φ(x), the normal distribution function, and its derivative. In float from erfc(z) = exp(-z²) t P(t),
// t = 1 / (1 + z / 2), whose relative error is 6e-9 for z >= 0 before rounding.
template <class D>
HWY_INLINE void NormalDistribution(D d, hn::Vec<D> x, hn::Vec<D>& probability, hn::Vec<D>& density) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  if constexpr (sizeof(T) == 4) {
    const V one = hn::Set(d, 1.0f), z = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678118f));
    const V t = hn::Div(one, hn::MulAdd(z, hn::Set(d, 0.5f), one));
    const V p =
        Polynomial(d, t, 0.28209042f, 0.282210588f, 0.245569088f, 0.183564069f, 0.0614309562f, 0.0216961307f,
                   -0.00310953344f, -0.306404034f, 0.39070053f, -0.193876963f, 0.0361287502f);
    const V e = Exp2(d, hn::Mul(hn::Mul(x, x), hn::Set(d, static_cast<T>(-0.5 * kLog2e))));
    const V tail = hn::Mul(hn::Mul(hn::Mul(t, hn::Set(d, 0.5f)), p), e);
    probability = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail));
    density = hn::Mul(e, hn::Set(d, 0.39894228040f));
  } else {
    HWY_ALIGN double lanes[HWY_MAX_BYTES / sizeof(double)], slopes[HWY_MAX_BYTES / sizeof(double)];
    hn::Store(x, d, lanes);
    for (size_t i = 0; i < hn::Lanes(d); ++i) {
      slopes[i] = 0.39894228040143267794 * std::exp(-0.5 * lanes[i] * lanes[i]);
      lanes[i] = 0.5 * std::erfc(-0.70710678118654752440 * lanes[i]);
    }
    probability = hn::Load(d, lanes);
    density = hn::Load(d, slopes);
  }
}

template <class T>
HWY_INLINE T* RowOf(const void* matrix, ptrdiff_t pitch, size_t row) {
  return const_cast<T*>(static_cast<const T*>(matrix)) + static_cast<ptrdiff_t>(row) * pitch;
}

// Calls f(j, count) for every vector of a row.
template <class D, class F>
HWY_INLINE void ForEachPart(D d, size_t n, F f) {
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= n; j += lanes) f(j, lanes);
  if (j < n) f(j, n - j);
}

template <class D>
HWY_INLINE void ActivateRow(D d, const adapter_job& job, size_t row) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  T* const sums = RowOf<T>(job.input, job.input_pitch, row);
  T* const out = RowOf<T>(job.output, job.output_pitch, row);
  const T* const bias = static_cast<const T*>(job.bias);
  ForEachPart(d, job.columns, [&](size_t j, size_t count) HWY_ATTR {
    const V x = hn::Add(LoadFirst(d, sums + j, count), LoadFirst(d, bias + j, count));
    V probability, density;
    NormalDistribution(d, x, probability, density);
    StoreFirst(d, x, sums + j, count);
    StoreFirst(d, hn::Mul(x, probability), out + j, count);
  });
}

template <class D>
HWY_INLINE void ActivateBackwardRow(D d, const adapter_job& job, size_t row) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const T* const sums = RowOf<T>(job.input, job.input_pitch, row);
  T* const out = RowOf<T>(job.output, job.output_pitch, row);
  ForEachPart(d, job.columns, [&](size_t j, size_t count) HWY_ATTR {
    const V x = LoadFirst(d, sums + j, count);
    V probability, density;
    NormalDistribution(d, x, probability, density);
    StoreFirst(d, hn::Mul(LoadFirst(d, out + j, count), hn::MulAdd(x, density, probability)), out + j, count);
  });
}

template <class D>
HWY_INLINE void NormalizeRow(D d, const adapter_job& job, size_t row, Real<D>* out) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t n = job.columns;
  const double width = static_cast<double>(n);
  RowWalk<D> walk(n, nullptr, false, false);
  const double sum = walk.Run([&](size_t j, size_t count, V& part) HWY_ATTR {
    const V x = LoadFirst(d, out + j, count);
    part = hn::Add(part, x);
    return x;
  });
  const V mean = hn::Set(d, static_cast<T>(sum / width));
  const double squares = walk.Run([&](size_t j, size_t count, V& part) HWY_ATTR {
    V x = hn::Sub(LoadFirst(d, out + j, count), mean);
    if (count < hn::Lanes(d)) x = hn::IfThenElseZero(hn::FirstN(d, count), x);
    part = hn::MulAdd(x, x, part);
    return x;
  });
  const T inverse = static_cast<T>(1 / std::sqrt(squares / width + job.epsilon));
  static_cast<T*>(job.inverse_deviation)[row] = inverse;
  const V scale = hn::Set(d, inverse);
  const T* const gain = static_cast<const T*>(job.gain);
  const T* const shift = static_cast<const T*>(job.shift);
  T* const normalized = RowOf<T>(job.normalized, static_cast<ptrdiff_t>(n), row);
  ForEachPart(d, n, [&](size_t j, size_t count) HWY_ATTR {
    const V x = hn::Mul(hn::Sub(LoadFirst(d, out + j, count), mean), scale);
    StoreFirst(d, x, normalized + j, count);
    StoreFirst(d, hn::MulAdd(x, LoadFirst(d, gain + j, count), LoadFirst(d, shift + j, count)), out + j,
               count);
  });
}

template <class D>
HWY_INLINE void FinishRow(D d, const adapter_job& job, size_t row) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  T* const out = RowOf<T>(job.output, job.output_pitch, row);
  const T* const bias = static_cast<const T*>(job.bias);
  const T* const residual = job.input == nullptr ? nullptr : RowOf<T>(job.input, job.input_pitch, row);
  ForEachPart(d, job.columns, [&](size_t j, size_t count) HWY_ATTR {
    V y = hn::Add(LoadFirst(d, out + j, count), LoadFirst(d, bias + j, count));
    if (residual != nullptr) y = hn::Add(y, LoadFirst(d, residual + j, count));
    StoreFirst(d, y, out + j, count);
  });
  if (job.gain != nullptr) NormalizeRow(d, job, row, out);
}

// (u - mean u - z mean(u z)) / deviation with u = upstream gain and z the normalised row.
template <class D>
HWY_INLINE void NormalizeBackwardRow(D d, const adapter_job& job, size_t row) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const T* const z = RowOf<T>(job.input, job.input_pitch, row);
  const T* const upstream = RowOf<T>(job.upstream, job.upstream_pitch, row);
  T* const out = RowOf<T>(job.output, job.output_pitch, row);
  const T* const gain = static_cast<const T*>(job.gain);
  const double width = static_cast<double>(job.columns);
  WideSum<D> along(d);
  V along_part = hn::Zero(d);
  RowWalk<D> walk(job.columns, out, false, false);
  const double sum = walk.Run([&](size_t j, size_t count, V& part) HWY_ATTR {
    const V u = hn::Mul(LoadFirst(d, upstream + j, count), LoadFirst(d, gain + j, count));
    part = hn::Add(part, u);
    along_part = hn::MulAdd(u, LoadFirst(d, z + j, count), along_part);
    return u;
  });
  along.Add(d, along_part);
  const V mean = hn::Set(d, static_cast<T>(sum / width)),
          part = hn::Set(d, static_cast<T>(along.Total(d) / width));
  const V scale = hn::Set(d, static_cast<const T*>(job.inverse_deviation)[row]);
  ForEachPart(d, job.columns, [&](size_t j, size_t count) HWY_ATTR {
    const V u = hn::Sub(LoadFirst(d, out + j, count), mean);
    StoreFirst(d, hn::Mul(scale, hn::NegMulAdd(LoadFirst(d, z + j, count), part, u)), out + j, count);
  });
}

template <class D>
HWY_INLINE void AddRow(D d, const adapter_job& job, size_t row) {
  using T = Real<D>;
  const T* const in = RowOf<T>(job.input, job.input_pitch, row);
  T* const out = RowOf<T>(job.output, job.output_pitch, row);
  ForEachPart(d, job.columns, [&](size_t j, size_t count) HWY_ATTR {
    auto v = LoadFirst(d, in + j, count);
    if (job.accumulate) v = hn::Add(v, LoadFirst(d, out + j, count));
    StoreFirst(d, v, out + j, count);
  });
}

// Of the vector of columns at j, in the order of rows.
template <class D>
HWY_INLINE void SumColumns(D d, const adapter_job& job, size_t j, size_t count) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  constexpr size_t kRows = 32;
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  double totals[HWY_MAX_BYTES / sizeof(T)] = {};
  for (size_t begin = 0; begin < job.rows; begin += kRows) {
    V sum = hn::Zero(d);
    for (size_t row = begin; row < HWY_MIN(begin + kRows, job.rows); ++row) {
      const V x = LoadFirst(d, RowOf<T>(job.input, job.input_pitch, row) + j, count);
      if (job.upstream == nullptr)
        sum = hn::Add(sum, x);
      else
        sum = hn::MulAdd(x, LoadFirst(d, RowOf<T>(job.upstream, job.upstream_pitch, row) + j, count), sum);
    }
    hn::Store(sum, d, lanes);
    for (size_t i = 0; i < count; ++i) totals[i] += static_cast<double>(lanes[i]);
  }
  T* const out = static_cast<T*>(job.output) + j;
  for (size_t i = 0; i < count; ++i)
    out[i] = static_cast<T>(totals[i] + (job.accumulate ? static_cast<double>(out[i]) : 0.0));
}

template <class D>
HWY_INLINE void AdapterRange(D d, const adapter_job& job, size_t begin, size_t end) {
  if (job.step == adapter_step::column_sums) {
    for (size_t j = begin; j < end; j += hn::Lanes(d)) SumColumns(d, job, j, HWY_MIN(hn::Lanes(d), end - j));
    return;
  }
  for (size_t row = begin; row < end; ++row) {
    switch (job.step) {
      case adapter_step::activate:
        ActivateRow(d, job, row);
        break;
      case adapter_step::activate_backward:
        ActivateBackwardRow(d, job, row);
        break;
      case adapter_step::finish:
        FinishRow(d, job, row);
        break;
      case adapter_step::normalize_backward:
        NormalizeBackwardRow(d, job, row);
        break;
      default:
        AddRow(d, job, row);
        break;
    }
  }
}

// Rows [begin, end) of a step, or columns of column_sums.
inline void AdapterRows(const adapter_job& job, size_t begin, size_t end) {
  if (job.type == element_type::float64)
    AdapterRange(hn::ScalableTag<double>(), job, begin, end);
  else
    AdapterRange(hn::ScalableTag<float>(), job, begin, end);
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
