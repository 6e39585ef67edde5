// Powers of features summed over channels, and their gradient. One sample at a time; the sums are doubles.
#if defined(DISTILL_SIMD_ATTENTION_TRANSFER_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ATTENTION_TRANSFER_INL_HPP
#undef DISTILL_SIMD_ATTENTION_TRANSFER_INL_HPP
#else
#define DISTILL_SIMD_ATTENTION_TRANSFER_INL_HPP
#endif

#include <cmath>
#include <distill/simd/row_memory-inl.hpp>
#include <distill/view/untyped_tensor.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::input_tensor;
using detail::output_tensor;

using Wide = hn::ScalableTag<double>;

HWY_INLINE hn::Vec<Wide> LoadWide(Wide d, const double* p) { return hn::LoadU(d, p); }
HWY_INLINE hn::Vec<Wide> LoadWide(Wide d, const float* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Wide>(), p));
}
HWY_INLINE void StoreNarrow(Wide d, hn::Vec<Wide> v, double* p) { hn::StoreU(v, d, p); }
HWY_INLINE void StoreNarrow(Wide, hn::Vec<Wide> v, float* p) {
  const hn::Rebind<float, Wide> d;
  hn::StoreU(hn::DemoteTo(d, v), d, p);
}

// sums += |x|^power
template <class T>
HWY_INLINE void AddPowers(const T* x, size_t n, double power, double* HWY_RESTRICT sums) {
  const Wide d;
  size_t j = 0;
  if (power == 2)
    for (; j + hn::Lanes(d) <= n; j += hn::Lanes(d)) {
      const auto v = LoadWide(d, x + j);
      hn::StoreU(hn::MulAdd(v, v, hn::LoadU(d, sums + j)), d, sums + j);
    }
  for (; j < n; ++j) {
    const double v = std::abs(static_cast<double>(x[j]));
    sums[j] += power == 2 ? v * v : power == 1 ? v : std::pow(v, power);
  }
}

// out = slope power |x|^(power - 1) sign(x); x may be out.
template <class T>
HWY_INLINE void PowerSlopes(const T* x, size_t n, double power, const double* HWY_RESTRICT slopes, T* out) {
  const Wide d;
  const auto two = hn::Set(d, 2.0);
  size_t j = 0;
  if (power == 2)
    for (; j + hn::Lanes(d) <= n; j += hn::Lanes(d))
      StoreNarrow(d, hn::Mul(hn::Mul(LoadWide(d, x + j), two), hn::LoadU(d, slopes + j)), out + j);
  for (; j < n; ++j) {
    const double v = static_cast<double>(x[j]), sign = v > 0 ? 1 : v < 0 ? -1 : v;
    const double steep = power == 2   ? 2 * v
                         : power == 1 ? sign
                                      : power * std::pow(std::abs(v), power - 1) * sign;
    out[j] = static_cast<T>(slopes[j] * steep);
  }
}

// A channel of a sample as rows; as one row where its rows follow each other.
template <class Void>
HWY_INLINE detail::untyped_matrix<Void> Channel(const detail::untyped_tensor<Void>& x, size_t sample,
                                                size_t channel) {
  auto m = x.matrix(sample, channel);
  const bool follow = m.row_stride == static_cast<ptrdiff_t>(m.columns) * m.column_stride;
  if (m.rows == 1 || !follow) return m;
  m.columns *= m.rows;
  m.rows = 1;
  return m;
}

template <class T>
void AddChannelPowers(const input_tensor& x, size_t sample, double power, double* sums, void* scratch) {
  for (size_t channel = 0; channel < x.extents[1]; ++channel) {
    const input_matrix m = Channel(x, sample, channel);
    for (size_t row = 0; row < m.rows; ++row)
      AddPowers(RowAs<T>(m, row, static_cast<T*>(scratch)), m.columns, power, sums + row * m.columns);
  }
  RestoreX87();
}

template <class T>
void StoreChannelSlopes(const input_tensor& x, const output_tensor& gradient, size_t sample, double power,
                        const double* slopes, bool accumulate, void* scratch) {
  T* const row_of_scratch = static_cast<T*>(scratch);
  for (size_t channel = 0; channel < x.extents[1]; ++channel) {
    const input_matrix m = x.matrix(sample, channel);
    const output_matrix g = gradient.matrix(sample, channel);
    for (size_t row = 0; row < m.rows; ++row) {
      PowerSlopes(RowAs<T>(m, row, row_of_scratch), m.columns, power, slopes + row * m.columns,
                  row_of_scratch);
      StoreRow(g, row, row_of_scratch, accumulate);
    }
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
