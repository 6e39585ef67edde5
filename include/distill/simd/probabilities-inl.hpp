// Probabilities of one row of one matrix, in the compute type, and double lanes that read them.
#if defined(DISTILL_SIMD_PROBABILITIES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_PROBABILITIES_INL_HPP
#undef DISTILL_SIMD_PROBABILITIES_INL_HPP
#else
#define DISTILL_SIMD_PROBABILITIES_INL_HPP
#endif

#include <distill/simd/loss_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::ScalableTag<double>;

HWY_INLINE hn::Vec<Doubles> LoadDoubles(Doubles d, const double* p) { return hn::LoadU(d, p); }
HWY_INLINE hn::Vec<Doubles> LoadDoubles(Doubles d, const float* p) {
  const hn::Rebind<float, Doubles> narrow;
  return hn::PromoteTo(d, hn::LoadU(narrow, p));
}
HWY_INLINE void StoreDoubles(Doubles d, hn::Vec<Doubles> v, double* p) { hn::StoreU(v, d, p); }
HWY_INLINE void StoreDoubles(Doubles, hn::Vec<Doubles> v, float* p) {
  const hn::Rebind<float, Doubles> narrow;
  hn::StoreU(hn::DemoteTo(narrow, v), narrow, p);
}

// log2(e) / T in the compute type, kept finite and above 0 so that -inf times it stays -inf.
template <class T>
HWY_INLINE T ExponentScale(double temperature) {
  constexpr double kMost = sizeof(T) == 4 ? 3e38 : 1e308, kLeast = sizeof(T) == 4 ? 1e-37 : 1e-307;
  return static_cast<T>(HWY_MAX(kLeast, HWY_MIN(kMost, kLog2e / temperature)));
}

// Classes [begin, begin + count) of a matrix.
HWY_INLINE input_matrix ClassesOf(const input_matrix& m, size_t begin, size_t count) {
  const auto offset =
      static_cast<ptrdiff_t>(begin) * m.column_stride * static_cast<ptrdiff_t>(size_of(m.type));
  input_matrix part = m;
  part.data = static_cast<const char*>(m.data) + offset;
  part.columns = count;
  return part;
}

// norm exp((z - maximum) / T), zeros to the end of the last vector; returns the sum. `out` may be `logits`.
template <class T>
HWY_INLINE double Exponentiate(const T* logits, size_t n, double maximum, double norm, T scale, T* out) {
  const hn::ScalableTag<T> d;
  const auto reference = hn::Set(d, static_cast<T>(maximum)), factor = hn::Set(d, static_cast<T>(norm)),
             slope = hn::Set(d, scale);
  WideSum<std::remove_const_t<decltype(d)>> sum(d);
  auto block = hn::Zero(d);
  ForEachVector(
      d, n,
      [&](size_t j, size_t count) HWY_ATTR {
        const auto x = hn::Sub(LoadLogits(d, logits + j, count), reference);
        const auto e = hn::Mul(Exp2(d, hn::Mul(x, slope)), factor);
        hn::StoreU(e, d, out + j);
        block = hn::Add(block, e);
      },
      [&]() HWY_ATTR {
        sum.Add(d, block);
        block = hn::Zero(d);
      });
  return sum.Total(d);
}

// The same of a row of any element type and stride.
template <class T>
HWY_INLINE double ExponentiateRow(const input_matrix& m, size_t row, double maximum, double norm, T scale,
                                  T* out) {
  return Exponentiate(RowAs<T>(m, row, out), m.columns, maximum, norm, scale, out);
}

// The row's softmax, and what it takes to compute any part of it again.
template <class T>
HWY_INLINE void SoftmaxRow(const input_matrix& m, size_t row, T scale, double& maximum, double& norm,
                           T* out) {
  const hn::ScalableTag<T> d;
  const T* const logits = RowAs<T>(m, row, out);
  maximum = static_cast<double>(MaximumOrZero(d, logits, m.columns));
  norm = 1 / Exponentiate(logits, m.columns, maximum, 1, scale, out);
  const auto factor = hn::Set(d, static_cast<T>(norm));
  for (size_t j = 0; j < m.columns; j += hn::Lanes(d))
    hn::StoreU(hn::Mul(hn::LoadU(d, out + j), factor), d, out + j);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
