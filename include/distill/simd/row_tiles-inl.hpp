// As many rows as a vector has lanes, as tiles of one row per lane: from and to the caller's memory, any
// strides and element type.
#if defined(DISTILL_SIMD_ROW_TILES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ROW_TILES_INL_HPP
#undef DISTILL_SIMD_ROW_TILES_INL_HPP
#else
#define DISTILL_SIMD_ROW_TILES_INL_HPP
#endif

#include <distill/simd/loss_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Where a tile is to be written: class c of all rows at data + c * pitch.
template <class T>
struct OutputTile {
  T* data;
  ptrdiff_t pitch;
  bool in_place;  // that is the caller's memory already
  template <class D>
  HWY_INLINE void Store(D d, size_t c, hn::Vec<D> v) const {
    hn::StoreU(v, d, data + static_cast<ptrdiff_t>(c) * pitch);
  }
};

// Whole rows of 16 bits at 4 or more classes become floats at `staging`, compact.
template <class D, class U>
HWY_INLINE void WidenRows(D d, const U* p, ptrdiff_t pitch, size_t classes, float* HWY_RESTRICT staging) {
  const size_t lanes = hn::Lanes(d);
  if (pitch == static_cast<ptrdiff_t>(classes)) {
    for (size_t i = 0; i < classes; ++i) hn::StoreU(LoadAs(d, p + i * lanes), d, staging + i * lanes);
    return;
  }
  for (size_t r = 0; r < lanes; ++r)
    for (size_t c = 0; c < classes; ++c)
      staging[r * classes + c] =
          static_cast<float>(p[static_cast<ptrdiff_t>(r) * pitch + static_cast<ptrdiff_t>(c)]);
}
template <class D, class U>
HWY_INLINE void NarrowRows(D d, const float* HWY_RESTRICT staging, U* p, ptrdiff_t pitch, size_t classes) {
  const size_t lanes = hn::Lanes(d);
  if (pitch == static_cast<ptrdiff_t>(classes)) {
    for (size_t i = 0; i < classes; ++i) StoreAs(d, hn::LoadU(d, staging + i * lanes), p + i * lanes);
    return;
  }
  for (size_t r = 0; r < lanes; ++r)
    for (size_t c = 0; c < classes; ++c)
      p[static_cast<ptrdiff_t>(r) * pitch + static_cast<ptrdiff_t>(c)] = U(staging[r * classes + c]);
}

// A full tile without a scalar loop, where the layout allows it. The tile is `scratch`, or the memory itself.
template <class D, class U>
HWY_INLINE bool LoadFullTile(D d, const input_matrix& m, const U* first, Real<D>* scratch,
                             [[maybe_unused]] Real<D>* staging, LaneTile<Real<D>>& tile) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d);
  if constexpr (std::is_same_v<U, T>) {
    if (m.row_stride == 1) {
      tile = {first, m.column_stride};
      return true;
    }
  }
  if constexpr (std::is_same_v<T, float> && sizeof(U) <= sizeof(T)) {
    if (m.row_stride == 1) {
      for (size_t c = 0; c < m.columns; ++c)
        hn::StoreU(LoadAs(d, first + static_cast<ptrdiff_t>(c) * m.column_stride), d, scratch + c * lanes);
      return true;
    }
#if HWY_TARGET != HWY_SCALAR
    if (m.column_stride == 1 && m.columns >= 4) {
      if constexpr (std::is_same_v<U, T>) {
        LoadTransposed(d, first, m.row_stride, m.columns, scratch);
      } else {
        WidenRows(d, first, m.row_stride, m.columns, staging);
        LoadTransposed(d, staging, static_cast<ptrdiff_t>(m.columns), m.columns, scratch);
      }
      return true;
    }
#endif
  }
  return false;
}

// `count` rows from `row` on; lanes beyond them read as 0. `staging` is scratch of the size of a tile.
template <class D>
HWY_INLINE LaneTile<Real<D>> LoadRowTile(D d, const input_matrix& m, size_t row, size_t count,
                                         Real<D>* scratch, Real<D>* staging) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d);
  LaneTile<T> tile{scratch, static_cast<ptrdiff_t>(lanes)};
  bool loaded = false;
  WithRow(m, row, [&](auto* first) HWY_ATTR {
    loaded = count == lanes && LoadFullTile(d, m, first, scratch, staging, tile);
    if (loaded) return;
    for (size_t c = 0; c < m.columns; ++c) {
      const auto* p = first + static_cast<ptrdiff_t>(c) * m.column_stride;
      for (size_t r = 0; r < count; ++r)
        scratch[c * lanes + r] = Converted<T>(p[static_cast<ptrdiff_t>(r) * m.row_stride]);
      for (size_t r = count; r < lanes; ++r) scratch[c * lanes + r] = T{0};
    }
  });
  return tile;
}

template <class T>
HWY_INLINE OutputTile<T> OutputTileOf(const output_matrix& m, size_t row, bool full, size_t lanes,
                                      T* scratch) {
  if (full && m.type == element_traits<T>::type && m.row_stride == 1)
    return {static_cast<T*>(m.data) + row, m.column_stride, true};
  return {scratch, static_cast<ptrdiff_t>(lanes), false};
}

template <class D, class U>
HWY_INLINE bool StoreFullTile(D d, const output_matrix& m, U* first, const Real<D>* tile,
                              [[maybe_unused]] Real<D>* staging) {
  using T = Real<D>;
  if constexpr (std::is_same_v<T, float> && sizeof(U) <= sizeof(T)) {
    if (m.row_stride == 1) {
      for (size_t c = 0; c < m.columns; ++c)
        StoreAs(d, hn::LoadU(d, tile + c * hn::Lanes(d)),
                first + static_cast<ptrdiff_t>(c) * m.column_stride);
      return true;
    }
#if HWY_TARGET != HWY_SCALAR
    if (m.column_stride == 1 && m.columns >= 4) {
      if constexpr (std::is_same_v<U, T>) {
        StoreTransposed(d, tile, first, m.row_stride, m.columns);
      } else {
        StoreTransposed(d, tile, staging, static_cast<ptrdiff_t>(m.columns), m.columns);
        NarrowRows(d, staging, first, m.row_stride, m.columns);
      }
      return true;
    }
#endif
  }
  return false;
}

// Writes the rows of a tile in scratch to the caller's memory, except those that `skipped` says.
template <class D, class F>
HWY_INLINE void StoreRowTile(D d, const output_matrix& m, size_t row, size_t count, bool all, F skipped,
                             const Real<D>* tile, Real<D>* staging) {
  const size_t lanes = hn::Lanes(d);
  WithRow(m, row, [&](auto* first) HWY_ATTR {
    if (all && count == lanes && StoreFullTile(d, m, first, tile, staging)) return;
    for (size_t r = 0; r < count; ++r) {
      if (skipped(r)) continue;
      auto* p = first + static_cast<ptrdiff_t>(r) * m.row_stride;
      for (size_t c = 0; c < m.columns; ++c)
        Assign(tile[c * lanes + r], p[static_cast<ptrdiff_t>(c) * m.column_stride]);
    }
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
