// One row of a teacher per lane: tiles of which only the rows that count are read, and sums over their
// classes.
#if defined(DISTILL_SIMD_TEACHER_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_LANES_INL_HPP
#undef DISTILL_SIMD_TEACHER_LANES_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_LANES_INL_HPP
#endif

#include <cmath>
#include <distill/simd/row_tiles-inl.hpp>
#include <distill/simd/teacher_sums-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sets of rows of a tile: bit r is row r.
HWY_INLINE uint64_t FirstRows(size_t count) { return (uint64_t{1} << count) - 1; }
HWY_INLINE bool Contains(uint64_t rows, size_t r) { return (rows >> r & 1) != 0; }

template <class F>
HWY_INLINE uint64_t RowsWhere(size_t count, F f) {
  uint64_t rows = 0;
  for (size_t r = 0; r < count; ++r) rows |= uint64_t{f(r)} << r;
  return rows;
}

// A number for each row of a tile.
template <class D, class T>
struct PerLane {
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(Real<D>)] = {};
};

// The rows of a tile that are in `counted`; the others read as 0 and are never touched in memory. `staging`
// is scratch of the size of a tile.
template <class D>
HWY_NOINLINE LaneTile<Real<D>> LoadCountedRows(D d, const input_matrix& m, size_t row, size_t count,
                                               uint64_t counted, Real<D>* scratch, Real<D>* staging) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d);
  if (counted == FirstRows(count)) return LoadRowTile(d, m, row, count, scratch, staging);
  for (size_t c = 0; c < m.columns; ++c) hn::StoreU(hn::Zero(d), d, scratch + c * lanes);
  WithRow(m, row, [&](auto* first) HWY_ATTR {
    for (size_t r = 0; r < count; ++r) {
      if (!Contains(counted, r)) continue;
      const auto* p = first + static_cast<ptrdiff_t>(r) * m.row_stride;
      for (size_t c = 0; c < m.columns; ++c)
        scratch[c * lanes + r] = Converted<T>(p[static_cast<ptrdiff_t>(c) * m.column_stride]);
    }
  });
  return {scratch, static_cast<ptrdiff_t>(lanes)};
}

// kSums sums over the classes of a tile, to which f(c, sums) adds; carried into doubles block by block.
template <size_t kSums, class D, class F, size_t... kIndex>
HWY_INLINE void SumClassesInto(D d, size_t classes, PerLane<D, double>* HWY_RESTRICT totals, F f,
                               std::index_sequence<kIndex...>) {
  using V = hn::Vec<D>;
  LaneSums<D> wide[kSums] = {((void)kIndex, LaneSums<D>(d))...};
  for (size_t begin = 0; begin < classes; begin += kBlockClasses) {
    V sums[kSums] = {((void)kIndex, hn::Zero(d))...};
    for (size_t c = begin; c < HWY_MIN(classes, begin + kBlockClasses); ++c) f(c, sums);
    (wide[kIndex].Add(d, sums[kIndex]), ...);
  }
  (StoreLaneValues(d, totals[kIndex].lanes,
                   [&](auto part) HWY_ATTR { return wide[kIndex].template Part<part()>(); }),
   ...);
}
template <size_t kSums, class D, class F>
HWY_INLINE void SumClasses(D d, size_t classes, PerLane<D, double>* HWY_RESTRICT totals, F f) {
  SumClassesInto<kSums>(d, classes, totals, f, std::make_index_sequence<kSums>());
}

// Lanes of the compute type as doubles in memory, and back, rounded.
template <class D>
HWY_INLINE void WidenLanes(D d, hn::Vec<D> v, PerLane<D, double>& out) {
  LaneSums<D> wide(d);
  wide.Add(d, v);
  StoreLaneValues(d, out.lanes, [&](auto part) HWY_ATTR { return wide.template Part<part()>(); });
}
template <class D>
HWY_INLINE hn::Vec<D> NarrowLanes(D d, const PerLane<D, double>& v) {
  const typename LaneSums<D>::Wide wide;
  return LaneSums<D>::Joined(d, hn::LoadU(wide, v.lanes),
                             hn::LoadU(wide, v.lanes + (LaneSums<D>::kParts - 1) * hn::Lanes(wide)));
}

// f(wide, j) for vectors of doubles that cover all lanes from lane j on.
template <class D, class F>
HWY_INLINE void ForEachWide(D d, F f) {
  const typename LaneSums<D>::Wide wide;
  for (size_t j = 0; j < hn::Lanes(d); j += hn::Lanes(wide)) f(wide, j);
}

// The exponentials' sum of each lane, where its largest logit is, and the logarithm to base 2 of the sum.
template <class D>
struct ExponentialLanes {
  hn::Vec<D> maximum;
  PerLane<D, double> log2_total;
};

template <class D>
HWY_INLINE void Log2OfTotals(D d, const PerLane<D, double>& totals, PerLane<D, double>& out) {
  ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
    const auto rest = hn::Sub(hn::LoadU(wide, totals.lanes + j), hn::Set(wide, 1.0));
    hn::StoreU(hn::Mul(Log1p<sizeof(Real<D>) == 8>(wide, rest), hn::Set(wide, kLog2e)), wide, out.lanes + j);
  });
}

template <class D>
HWY_NOINLINE void ExponentiateLanesOf(D d, const LaneTile<Real<D>>& tile, size_t classes,
                                      Real<D> scale_of_logits, ExponentialLanes<D>& out) {
  using V = hn::Vec<D>;
  const V maximum = LaneMaximum(d, tile, classes), scale = hn::Set(d, scale_of_logits);
  PerLane<D, double> total;
  SumClasses<1>(d, classes, &total, [&](size_t c, V* sums) HWY_ATTR {
    sums[0] = hn::Add(sums[0], Exp2Fast(d, hn::Mul(hn::Sub(tile.Class(d, c), maximum), scale)));
  });
  out.maximum = maximum;
  Log2OfTotals(d, total, out.log2_total);
}

// The rows of a tile whose numbers the compute type could hold: finite logarithms of sums, maxima in range.
template <class D>
HWY_INLINE uint64_t RowsInRange(D d, const ExponentialLanes<D>& x, size_t count, double temperature) {
  const auto within = hn::Le(hn::Abs(x.maximum), hn::Set(d, static_cast<Real<D>>(kMostLogit<Real<D>>)));
  bool all = IsInRange<Real<D>>(0, temperature) && hn::AllTrue(d, within);
  ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
    const auto size = hn::Abs(hn::LoadU(wide, x.log2_total.lanes + j));
    all = all && hn::AllTrue(wide, hn::Lt(size, hn::Set(wide, 1e300)));
  });
  if (all) return FirstRows(count);
  PerLane<D, double> maxima;
  WidenLanes(d, x.maximum, maxima);
  return RowsWhere(count, [&](size_t r) HWY_ATTR {
    return IsInRange<Real<D>>(maxima.lanes[r], temperature) && std::isfinite(x.log2_total.lanes[r]);
  });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
