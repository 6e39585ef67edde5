// Rows between the caller's memory and the kernels: element conversion, tails, strides.
#if defined(DISTILL_SIMD_ROW_MEMORY_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ROW_MEMORY_INL_HPP
#undef DISTILL_SIMD_ROW_MEMORY_INL_HPP
#else
#define DISTILL_SIMD_ROW_MEMORY_INL_HPP
#endif

#include <distill/simd/exponential-inl.hpp>
#include <distill/view/untyped_matrix.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::input_matrix;
using detail::output_matrix;

// ---- one vector, converted to the compute type

template <class D>
HWY_INLINE hn::Vec<D> LoadAs([[maybe_unused]] D d, const Real<D>* p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::Vec<D> LoadAs([[maybe_unused]] D d, const bfloat16* p) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::RebindToUnsigned<D> du;
  const auto words = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, words)));
}
// Highway emulates the conversions without infinities, NaN and rounding where the processor has none.
#if HWY_TARGET <= HWY_AVX2 || HWY_TARGET == HWY_NEON
inline constexpr bool kConvertsFloat16 = true;
#else
inline constexpr bool kConvertsFloat16 = false;
#endif

template <class D>
HWY_INLINE hn::Vec<D> LoadAs([[maybe_unused]] D d, const float16* p) {
  if constexpr (kConvertsFloat16) {
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
  } else {
    const hn::Rebind<uint16_t, D> d16;
    const hn::RebindToUnsigned<D> du;
    const auto word = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(word, hn::Set(du, 0x7fffu)));
    const auto finite = hn::BitCast(du, hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f)));
    const auto special = hn::Gt(magnitude, hn::Set(du, 0x0f7fffffu));
    const auto value = hn::IfThenElse(special, hn::Or(magnitude, hn::Set(du, 0x7f800000u)), finite);
    return hn::BitCast(d, hn::Or(value, hn::ShiftLeft<16>(hn::And(word, hn::Set(du, 0x8000u)))));
  }
}

template <class D>
HWY_INLINE void StoreAs([[maybe_unused]] D d, hn::Vec<D> v, Real<D>* p) {
  hn::StoreU(v, d, p);
}
template <class D>
HWY_INLINE void StoreAs([[maybe_unused]] D d, hn::Vec<D> v, bfloat16* p) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::RebindToUnsigned<D> du;
  const auto word = hn::BitCast(du, v);
  const auto last = hn::And(hn::ShiftRight<16>(word), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(word, hn::Add(last, hn::Set(du, 0x7fffu))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(word), hn::Set(du, 0x40u));
  const auto half = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
  const hn::RebindToSigned<D> di;
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, half)), d16, reinterpret_cast<uint16_t*>(p));
}
template <class D>
HWY_INLINE void StoreAs([[maybe_unused]] D d, hn::Vec<D> v, float16* p) {
  if constexpr (kConvertsFloat16) {
    const hn::Rebind<hwy::float16_t, D> d16;
    hn::StoreU(hn::DemoteTo(d16, v), d16, reinterpret_cast<hwy::float16_t*>(p));
  } else {  // as float16's constructor
    const hn::Rebind<uint16_t, D> d16;
    const hn::RebindToSigned<D> di;
    const auto word = hn::BitCast(di, v), magnitude = hn::And(word, hn::Set(di, 0x7fffffff));
    const auto last = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 1));
    const auto normal = hn::ShiftRight<13>(hn::Add(magnitude, hn::Add(last, hn::Set(di, 0xfff - 0x38000000))));
    const auto aligned = hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f));
    const auto small = hn::Sub(hn::BitCast(di, aligned), hn::Set(di, 0x3f000000));
    auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x38800000)), small, normal);
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x477fffff)), hn::Set(di, 0x7c00), half);
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), hn::Set(di, 0x7e00), half);
    const auto sign = hn::And(hn::ShiftRight<16>(word), hn::Set(di, 0x8000));
    hn::StoreU(hn::DemoteTo(d16, hn::Or(half, sign)), d16, reinterpret_cast<uint16_t*>(p));
  }
}

// ---- the first `count` lanes only; the others read as 0 and are never touched in memory

template <class D, class T>
HWY_INLINE hn::Vec<D> LoadPart(D d, const T* p, size_t count) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_same_v<T, Real<D>>) return hn::MaskedLoad(hn::FirstN(d, count), d, p);
#endif
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(Real<D>)] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return LoadAs(d, lanes);
}
template <class D, class T>
HWY_INLINE void StorePart(D d, hn::Vec<D> v, T* p, size_t count) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_same_v<T, Real<D>>) return hn::BlendedStore(v, hn::FirstN(d, count), d, p);
#endif
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(Real<D>)] = {};
  StoreAs(d, v, lanes);
  for (size_t i = 0; i < count; ++i) p[i] = lanes[i];
}

// ---- whole rows

// Calls f with a pointer of the matrix's element type at (row, column 0).
template <class Void, class F>
HWY_INLINE void WithRow(const detail::untyped_matrix<Void>& m, size_t row, F f) {
  const auto offset = static_cast<ptrdiff_t>(row) * m.row_stride;
  const auto at = [&](auto* p) { f(p + offset); };
  constexpr bool kConst = std::is_const_v<Void>;
  switch (m.type) {
    case element_type::float32: return at(static_cast<std::conditional_t<kConst, const float, float>*>(m.data));
    case element_type::float64: return at(static_cast<std::conditional_t<kConst, const double, double>*>(m.data));
    case element_type::bfloat16:
      return at(static_cast<std::conditional_t<kConst, const bfloat16, bfloat16>*>(m.data));
    case element_type::float16: return at(static_cast<std::conditional_t<kConst, const float16, float16>*>(m.data));
  }
}

template <class T, class Void>
HWY_INLINE bool IsContiguousRowOf(const detail::untyped_matrix<Void>& m) {
  return m.type == element_traits<T>::type && (m.column_stride == 1 || m.columns <= 1);
}

template <class T, class U>
HWY_INLINE T Converted(U value) {
  if constexpr (sizeof(U) == 2)
    return static_cast<T>(static_cast<float>(value));
  else
    return static_cast<T>(value);
}
template <class T>
HWY_INLINE void Assign(T value, float& out) { out = static_cast<float>(value); }
template <class T>
HWY_INLINE void Assign(T value, double& out) { out = static_cast<double>(value); }
template <class T>
HWY_INLINE void Assign(T value, bfloat16& out) { out = bfloat16(static_cast<float>(value)); }
template <class T>
HWY_INLINE void Assign(T value, float16& out) { out = float16(static_cast<float>(value)); }

// The row as contiguous elements of type T: in place where it already is, otherwise copied to scratch.
template <class T>
HWY_INLINE const T* RowAs(const input_matrix& m, size_t row, T* HWY_RESTRICT scratch) {
  const T* result = scratch;
  WithRow(m, row, [&](auto* p) HWY_ATTR {
    using U = std::remove_const_t<std::remove_pointer_t<decltype(p)>>;
    if constexpr (std::is_same_v<U, T>) {
      if (m.column_stride == 1 || m.columns <= 1) {
        result = p;
        return;
      }
    }
    if constexpr (sizeof(U) == 2 && sizeof(T) == 4) {
      if (m.column_stride == 1) {
        const hn::ScalableTag<T> d;
        size_t j = 0;
        for (; j + hn::Lanes(d) <= m.columns; j += hn::Lanes(d)) hn::StoreU(LoadAs(d, p + j), d, scratch + j);
        for (; j < m.columns; ++j) scratch[j] = Converted<T>(p[j]);
        return;
      }
    }
    for (size_t j = 0; j < m.columns; ++j)
      scratch[j] = Converted<T>(p[static_cast<ptrdiff_t>(j) * m.column_stride]);
  });
  return result;
}

// Writes or adds a row of type T to the caller's gradient.
template <class T>
HWY_INLINE void StoreRow(const output_matrix& m, size_t row, const T* HWY_RESTRICT values, bool accumulate) {
  WithRow(m, row, [&](auto* p) HWY_ATTR {
    using U = std::remove_pointer_t<decltype(p)>;
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d);
    size_t j = 0;
    if constexpr (sizeof(U) <= sizeof(T) && sizeof(T) == 4) {
      if (m.column_stride == 1) {
        for (; j + lanes <= m.columns; j += lanes) {
          auto v = hn::LoadU(d, values + j);
          if (accumulate) v = hn::Add(v, LoadAs(d, p + j));
          StoreAs(d, v, p + j);
        }
      }
    }
    for (; j < m.columns; ++j) {
      U& out = p[static_cast<ptrdiff_t>(j) * m.column_stride];
      Assign(accumulate ? values[j] + Converted<T>(out) : values[j], out);
    }
  });
}

// A masked row's gradient: zeros, unless it is added to.
HWY_INLINE void StoreZeroRow(const output_matrix& m, size_t row) {
  WithRow(m, row, [&](auto* p) {
    for (size_t j = 0; j < m.columns; ++j) Assign(0.0f, p[static_cast<ptrdiff_t>(j) * m.column_stride]);
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
