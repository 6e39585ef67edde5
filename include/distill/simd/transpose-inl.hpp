// Row-major rows to and from one row per lane.
#if defined(DISTILL_SIMD_TRANSPOSE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TRANSPOSE_INL_HPP
#undef DISTILL_SIMD_TRANSPOSE_INL_HPP
#else
#define DISTILL_SIMD_TRANSPOSE_INL_HPP
#endif

#include <distill/simd/row_memory-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// The 4 floats at p + 4 b pitch in 128-bit block b.
template <class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const float* p, ptrdiff_t pitch) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return hn::LoadU(d, p);
  } else {
    const hn::Half<D> half;
    const auto lower = LoadBlocks(half, p, pitch);
    const auto upper = LoadBlocks(half, p + static_cast<ptrdiff_t>(hn::Lanes(half)) * pitch, pitch);
    return hn::Combine(d, upper, lower);
  }
}
template <class D>
HWY_INLINE void StoreBlocks(D d, hn::Vec<D> v, float* p, ptrdiff_t pitch) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    hn::StoreU(v, d, p);
  } else {
    const hn::Half<D> half;
    StoreBlocks(half, hn::LowerHalf(half, v), p, pitch);
    StoreBlocks(half, hn::UpperHalf(half, v), p + static_cast<ptrdiff_t>(hn::Lanes(half)) * pitch, pitch);
  }
}

// Transposes the 4 x 4 floats that the four vectors hold in each 128-bit block.
template <class D, class V>
HWY_INLINE void TransposeBlocks(D d, V& v0, V& v1, V& v2, V& v3) {
  const hn::RepartitionToWide<D> wide;
  const auto a = hn::BitCast(wide, hn::InterleaveLower(d, v0, v1));
  const auto b = hn::BitCast(wide, hn::InterleaveLower(d, v2, v3));
  const auto c = hn::BitCast(wide, hn::InterleaveUpper(d, v0, v1));
  const auto e = hn::BitCast(wide, hn::InterleaveUpper(d, v2, v3));
  v0 = hn::BitCast(d, hn::InterleaveLower(wide, a, b));
  v1 = hn::BitCast(d, hn::InterleaveUpper(wide, a, b));
  v2 = hn::BitCast(d, hn::InterleaveLower(wide, c, e));
  v3 = hn::BitCast(d, hn::InterleaveUpper(wide, c, e));
}

// tile[c * Lanes + r] = rows[r * pitch + c] for Lanes rows of at least 4 classes. The last group of 4 overlaps the
// one before it where classes is not a multiple of 4.
template <class D>
HWY_INLINE void LoadTransposed(D d, const float* rows, ptrdiff_t pitch, size_t classes, float* HWY_RESTRICT tile) {
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c < classes; c += 4) {
    const size_t first = HWY_MIN(c, classes - 4);
    auto v0 = LoadBlocks(d, rows + first, pitch), v1 = LoadBlocks(d, rows + first + pitch, pitch);
    auto v2 = LoadBlocks(d, rows + first + 2 * pitch, pitch), v3 = LoadBlocks(d, rows + first + 3 * pitch, pitch);
    TransposeBlocks(d, v0, v1, v2, v3);
    float* out = tile + first * lanes;
    hn::StoreU(v0, d, out), hn::StoreU(v1, d, out + lanes);
    hn::StoreU(v2, d, out + 2 * lanes), hn::StoreU(v3, d, out + 3 * lanes);
  }
}

template <class D>
HWY_INLINE void StoreTransposed(D d, const float* HWY_RESTRICT tile, float* rows, ptrdiff_t pitch, size_t classes) {
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c < classes; c += 4) {
    const size_t first = HWY_MIN(c, classes - 4);
    const float* in = tile + first * lanes;
    auto v0 = hn::LoadU(d, in), v1 = hn::LoadU(d, in + lanes);
    auto v2 = hn::LoadU(d, in + 2 * lanes), v3 = hn::LoadU(d, in + 3 * lanes);
    TransposeBlocks(d, v0, v1, v2, v3);
    StoreBlocks(d, v0, rows + first, pitch), StoreBlocks(d, v1, rows + first + pitch, pitch);
    StoreBlocks(d, v2, rows + first + 2 * pitch, pitch), StoreBlocks(d, v3, rows + first + 3 * pitch, pitch);
  }
}

#endif

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
