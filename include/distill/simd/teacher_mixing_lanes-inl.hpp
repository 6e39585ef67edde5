// Teachers mixed one row per lane; see teacher_mixing-inl.hpp.
#if defined(DISTILL_SIMD_TEACHER_MIXING_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_MIXING_LANES_INL_HPP
#undef DISTILL_SIMD_TEACHER_MIXING_LANES_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_MIXING_LANES_INL_HPP
#endif

#include <distill/simd/teacher_lanes-inl.hpp>
#include <distill/simd/teacher_mixing-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The teachers that count in a tile. A teacher's share is 0 in the rows where it does not.
template <class D>
struct TeacherTiles {
  size_t count = 0;
  size_t indices[teacher_list::capacity];
  uint64_t rows[teacher_list::capacity];  // in which it counts
  LaneTile<Real<D>> logits[teacher_list::capacity];
  hn::Vec<D> maxima[teacher_list::capacity];
  hn::Vec<D> offsets[teacher_list::capacity];  // log2 share - logs
  hn::Vec<D> logs[teacher_list::capacity];     // log2 Σ 2^((z - maximum) scale)
  hn::Vec<D> weights[teacher_list::capacity];  // the shares, rounded
  double shares[teacher_list::capacity];       // of all rows, where weights do not differ from row to row
  PerLane<D, double> shares_of_rows[teacher_list::capacity];
};

template <class D>
class MixedTiles {
  using T = Real<D>;
  using V = hn::Vec<D>;
  using Tiles = TeacherTiles<D>;
  static constexpr D d{};

 public:
  MixedTiles(const mixing_job& job, T* HWY_RESTRICT scratch)
      : job_(job),
        scratch_(scratch),
        n_(job.classes()),
        scale_(Log2eOver<T>(job.temperature)),
        by_row_(job.is_routed() || job.weights_of_rows.data != nullptr) {}

  void Run(size_t begin, size_t end) {
    for (size_t row = begin; row < end; row += hn::Lanes(d)) Tile(row, HWY_MIN(hn::Lanes(d), end - row));
  }

 private:
  // A tile of scratch for each teacher, then these.
  T* Copy(size_t index) const { return scratch_ + index * job_.pitch; }
  T* Staging() const { return Copy(job_.teachers.size()); }
  T* OutputCopy() const { return Copy(job_.teachers.size() + 1); }

  void Tile(size_t row, size_t count) {
    uint64_t counted = 0;
    Tiles& tiles = tiles_;
    Load(row, count, tiles, counted);
    uint64_t mixed = counted;
    if (job_.kind == mixing_kind::divergences) {
      if (counted != 0) mixed &= Normalise(tiles, count);
      if (mixed != 0) Divergences(tiles, row, count, mixed);
    } else if (counted != 0) {
      mixed &= Mean(tiles, row, count, counted);
    }
    for (size_t r = 0; r < count; ++r)
      if (!Contains(mixed, r)) resolve_mixed_row(job_, shares_of_row(job_, row + r), row + r);
  }

  // Shares and logits of a tile, and the rows that have a teacher.
  HWY_NOINLINE void Load(size_t row, size_t count, Tiles& tiles, uint64_t& counted) {
    uint64_t rows_of[teacher_list::capacity] = {};
    tiles.count = 0;
    for (size_t r = 0; r < count; ++r) {
      if (job_.is_masked(row + r)) continue;
      if (by_row_ || !knows_shares_) shares_ = shares_of_row(job_, row + r);
      knows_shares_ = true;
      if (shares_.is_empty) continue;
      counted |= uint64_t{1} << r;
      for (size_t i = 0; i < job_.teachers.size() && by_row_; ++i) {
        shares_of_[i].lanes[r] = shares_.share[i];
        rows_of[i] |= uint64_t{shares_.share[i] != 0} << r;
      }
    }
    for (size_t i = 0; i < job_.teachers.size(); ++i) {
      if (!by_row_ && shares_.share[i] != 0) rows_of[i] = counted;
      if (rows_of[i] == 0) continue;
      const size_t at = tiles.count++;
      tiles.indices[at] = i;
      tiles.rows[at] = rows_of[i];
      tiles.shares[at] = shares_.share[i];
      tiles.weights[at] = hn::Set(d, static_cast<T>(shares_.share[i]));
      if (by_row_) {
        for (size_t r = 0; r < hn::Lanes(d); ++r)
          tiles.shares_of_rows[at].lanes[r] = Contains(rows_of[i], r) ? shares_of_[i].lanes[r] : 0;
        tiles.weights[at] = NarrowLanes(d, tiles.shares_of_rows[at]);
      }
      tiles.logits[at] = LoadCountedRows(d, job_.teachers[i], row, count, rows_of[i], Copy(i), Staging());
    }
  }

  // ---- means, written class by class once all that a row needs is known

  // The rows that the range of the compute type sufficed for; the others are not written.
  HWY_NOINLINE uint64_t Mean(Tiles& tiles, size_t row, size_t count, uint64_t counted) const {
    uint64_t mixed = counted;
    V maximum = hn::Zero(d), log_total = maximum;
    if (job_.kind == mixing_kind::probabilities) mixed &= Normalise(tiles, count);
    if (job_.kind == mixing_kind::log_probabilities) mixed &= NormaliseMean(tiles, count, maximum, log_total);
    if (mixed == 0) return mixed;
    const bool is_whole = count == hn::Lanes(d) && mixed == FirstRows(count);
    const OutputTile<T> out = OutputTileOf(job_.output, row, is_whole, hn::Lanes(d), OutputCopy());
    WriteMean(tiles, maximum, log_total, out);
    if (!out.in_place)
      StoreRowTile(
          d, job_.output, row, count, is_whole, [&](size_t r) { return !Contains(mixed, r); }, OutputCopy(),
          Staging());
    return mixed;
  }

  HWY_NOINLINE void WriteMean(const Tiles& tiles, V maximum, V log_total, const OutputTile<T>& out) const {
    const V scale = hn::Set(d, scale_), ln2 = hn::Set(d, static_cast<T>(kLn2));
    const V inverse = hn::Set(d, InverseOf<T>(job_.temperature));
    switch (job_.kind) {
      case mixing_kind::logits:
        for (size_t c = 0; c < n_; ++c) out.Store(d, c, MeanLogit(tiles, c));
        return;
      case mixing_kind::log_probabilities:
        for (size_t c = 0; c < n_; ++c)
          out.Store(d, c, hn::MulSub(hn::Sub(MeanLogit(tiles, c), maximum), inverse, log_total));
        return;
      default:
        for (size_t c = 0; c < n_; ++c) out.Store(d, c, hn::Mul(LogMean(tiles, c, scale), ln2));
    }
  }

  HWY_INLINE V MeanLogit(const Tiles& tiles, size_t c) const {
    V sum = hn::Mul(tiles.logits[0].Class(d, c), tiles.weights[0]);
    for (size_t i = 1; i < tiles.count; ++i)
      sum = hn::MulAdd(tiles.logits[i].Class(d, c), tiles.weights[i], sum);
    return sum;
  }

  HWY_NOINLINE uint64_t NormaliseMean(const Tiles& tiles, size_t count, V& maximum, V& log_total) const {
    const V scale = hn::Set(d, scale_);
    maximum = MeanLogit(tiles, 0);
    for (size_t c = 1; c < n_; ++c) maximum = hn::Max(maximum, MeanLogit(tiles, c));
    PerLane<D, double> total;
    const V reference = maximum;
    SumClasses<1>(d, n_, &total, [&](size_t c, V* sums) HWY_ATTR {
      sums[0] = hn::Add(sums[0], Exp2Fast(d, hn::Mul(hn::Sub(MeanLogit(tiles, c), reference), scale)));
    });
    ExponentialLanes<D> x;
    x.maximum = maximum;
    Log2OfTotals(d, total, x.log2_total);
    log_total = hn::Mul(NarrowLanes(d, x.log2_total), hn::Set(d, static_cast<T>(kLn2)));
    return RowsInRange(d, x, count, job_.temperature);
  }

  // ---- probabilities

  HWY_NOINLINE uint64_t Normalise(Tiles& tiles, size_t count) const {
    uint64_t sound = FirstRows(count);
    for (size_t i = 0; i < tiles.count; ++i) {
      ExponentialLanes<D> x;
      ExponentiateLanesOf(d, tiles.logits[i], n_, scale_, x);
      sound &= RowsInRange(d, x, count, job_.temperature) | ~tiles.rows[i];
      PerLane<D, double> offsets;
      const double log2_share = by_row_ ? 0 : std::log2(tiles.shares[i]);
      for (size_t r = 0; r < hn::Lanes(d); ++r)
        offsets.lanes[r] = by_row_ ? std::log2(tiles.shares_of_rows[i].lanes[r]) : log2_share;
      ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
        const auto share = hn::LoadU(wide, offsets.lanes + j);
        hn::StoreU(hn::Sub(share, hn::LoadU(wide, x.log2_total.lanes + j)), wide, offsets.lanes + j);
      });
      tiles.maxima[i] = x.maximum;
      tiles.logs[i] = NarrowLanes(d, x.log2_total);
      tiles.offsets[i] = NarrowLanes(d, offsets);
    }
    return sound;
  }

  HWY_INLINE V Term(const Tiles& tiles, size_t i, size_t c, V scale) const {
    return hn::MulAdd(hn::Sub(tiles.logits[i].Class(d, c), tiles.maxima[i]), scale, tiles.offsets[i]);
  }

  // log2 of the mean at a class; -inf where all terms are.
  HWY_INLINE V LogMean(const Tiles& tiles, size_t c, V scale) const {
    const V least = hn::Neg(hn::Inf(d));
    V largest = Term(tiles, 0, c, scale);
    for (size_t i = 1; i < tiles.count; ++i) largest = hn::Max(largest, Term(tiles, i, c, scale));
    const auto is_none = hn::Eq(largest, least);
    const V reference = hn::IfThenZeroElse(is_none, largest);
    V sum = hn::Zero(d);
    for (size_t i = 0; i < tiles.count; ++i)
      sum = hn::Add(sum, Exp2(d, hn::Sub(Term(tiles, i, c, scale), reference)));
    return hn::IfThenElse(is_none, least, hn::Add(reference, Log2OfSum(d, sum)));
  }

  HWY_NOINLINE void Divergences(const Tiles& tiles, size_t row, size_t count, uint64_t mixed) const {
    const V scale = hn::Set(d, scale_);
    T* const means = OutputCopy();
    for (size_t c = 0; c < n_; ++c) hn::StoreU(LogMean(tiles, c, scale), d, means + c * hn::Lanes(d));
    const LaneTile<T> mean{means, static_cast<ptrdiff_t>(hn::Lanes(d))};
    for (size_t r = 0; r < count; ++r)
      if (Contains(mixed, r)) StoreZeroRow(job_.output, row + r);
    for (size_t i = 0; i < tiles.count; ++i) {
      PerLane<D, double> divergences;
      const V maximum = tiles.maxima[i], log_total = tiles.logs[i];
      SumClasses<1>(d, n_, &divergences, [&](size_t c, V* sums) HWY_ATTR {
        const V x = hn::MulSub(hn::Sub(tiles.logits[i].Class(d, c), maximum), scale, log_total);
        const V y = mean.Class(d, c);
        sums[0] = hn::Add(sums[0], DivergenceTerm(d, x, y, hn::Sub(x, y)));
      });
      const auto column = static_cast<ptrdiff_t>(tiles.indices[i]) * job_.output.column_stride;
      for (size_t r = 0; r < count; ++r)
        if (Contains(mixed & tiles.rows[i], r))
          WithRow(job_.output, row + r, [&](auto* p) { Assign(divergences.lanes[r], p[column]); });
    }
  }

  const mixing_job& job_;
  T* HWY_RESTRICT const scratch_;
  const size_t n_;
  const T scale_;
  const bool by_row_;
  bool knows_shares_ = false;
  teacher_shares shares_;
  PerLane<D, double> shares_of_[teacher_list::capacity];
  Tiles tiles_;
};

template <class T>
void MixingRows(const mixing_job& job, size_t begin, size_t end, void* scratch) {
  using D = std::remove_const_t<decltype(hn::ScalableTag<T>())>;
  if (job.is_flat) {
    MixedRows<D>(job, static_cast<T*>(scratch)).Flat(begin, end);
  } else if (job.across_rows) {
    MixedTiles<D>(job, static_cast<T*>(scratch)).Run(begin, end);
  } else {
    MixedRows<D> rows(job, static_cast<T*>(scratch));
    for (size_t row = begin; row < end; ++row) rows.OneRow(row);
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
