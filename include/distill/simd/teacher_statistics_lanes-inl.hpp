// What teacher_statistics-inl.hpp measures, one row per lane.
#if defined(DISTILL_SIMD_TEACHER_STATISTICS_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_STATISTICS_LANES_INL_HPP
#undef DISTILL_SIMD_TEACHER_STATISTICS_LANES_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_STATISTICS_LANES_INL_HPP
#endif

#include <distill/simd/teacher_lanes-inl.hpp>
#include <distill/simd/teacher_statistics-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
class StatisticsTiles {
  using T = Real<D>;
  using V = hn::Vec<D>;
  using Numbers = PerLane<D, double>;
  static constexpr D d{};
  static constexpr bool kFull = sizeof(T) == 8;  // the digits of logarithms

 public:
  StatisticsTiles(const row_statistics_job& job, T* HWY_RESTRICT scratch)
      : job_(job), scratch_(scratch), n_(job.classes()), scale_(Log2eOver<T>(job.temperature)) {}

  void Run(size_t begin, size_t end) const {
    for (size_t row = begin; row < end; row += hn::Lanes(d)) Tile(row, HWY_MIN(hn::Lanes(d), end - row));
  }

 private:
  // As in row_sums; `check` is not finite where the range of the compute type did not suffice.
  struct Sums {
    V maximum_vector;
    Numbers maximum, at_maximum, rest, weighted, counted, mean, deviation, length, log_total, check;
  };

  void Tile(size_t row, size_t count) const {
    const uint64_t counted = RowsWhere(count, [&](size_t r) { return !job_.is_masked(row + r); });
    uint64_t measured = 0;
    if (counted != 0) {
      const LaneTile<T> tile =
          LoadCountedRows(d, job_.logits, row, count, counted, scratch_, scratch_ + job_.pitch);
      Sums sums;
      if (job_.needs_maximum()) Exponentials(tile, sums);
      if (job_.needs_spread()) SpreadOf(tile, sums);
      if (!job_.length.empty()) LengthOf(tile, sums);
      measured = counted & RowsWhere(count, [&](size_t r) { return std::isfinite(sums.check.lanes[r]); });
      if (measured != 0) Write(row, count, measured, tile, sums);
    }
    for (size_t r = 0; r < count; ++r)
      if (!Contains(measured, r))
        write_row_statistics(job_, row + r,
                             Contains(counted, r) ? resolve_row_sums(job_, row + r) : row_sums{});
  }

  template <class W>
  static HWY_INLINE void AddToCheck(W wide, size_t j, hn::Vec<W> v, Sums& sums) {
    hn::StoreU(hn::Add(hn::LoadU(wide, sums.check.lanes + j), v), wide, sums.check.lanes + j);
  }

  HWY_NOINLINE void Exponentials(const LaneTile<T>& tile, Sums& out) const {
    const V maximum = LaneMaximum(d, tile, n_), scale = hn::Set(d, scale_), one = hn::Set(d, T{1});
    Numbers totals[3];
    SumClasses<3>(d, n_, totals, [&](size_t c, V* sums) HWY_ATTR {
      const V z = tile.Class(d, c);
      const V x = hn::Mul(hn::Sub(z, maximum), scale);
      const V e = Exp2Fast(d, x);
      const auto is_maximum = hn::Eq(z, maximum);
      sums[0] = hn::Add(sums[0], hn::IfThenElseZero(is_maximum, one));
      sums[1] = hn::Add(sums[1], hn::IfThenZeroElse(is_maximum, e));
      sums[2] = hn::NegMulAdd(e, AtLeast(d, x, kLeastExponent<T>), sums[2]);
    });
    out.maximum_vector = maximum;
    WidenLanes(d, maximum, out.maximum);
    out.at_maximum = totals[0], out.rest = totals[1], out.weighted = totals[2];
    const bool needs_logarithm = !job_.log_sum_exp.empty() || !job_.entropy.empty() || job_.needs_label();
    const bool is_in_range = IsInRange<T>(0, job_.temperature);
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto one_wide = hn::Set(wide, 1.0), at = hn::LoadU(wide, out.at_maximum.lanes + j);
      const auto rest = hn::LoadU(wide, out.rest.lanes + j);
      const auto largest = hn::Abs(hn::LoadU(wide, out.maximum.lanes + j));
      const auto sound = hn::And(hn::Ge(at, one_wide), hn::Le(largest, hn::Set(wide, kMostLogit<T>)));
      const auto check = hn::Add(rest, hn::LoadU(wide, out.weighted.lanes + j));
      AddToCheck(wide, j, hn::IfThenElse(sound, check, hn::Inf(wide)), out);
      if (!is_in_range) AddToCheck(wide, j, hn::Inf(wide), out);
      if (!needs_logarithm) return;
      auto log_total = Log1p<kFull>(wide, hn::Div(rest, at));
      if (!hn::AllTrue(wide, hn::Eq(at, one_wide)))
        log_total = hn::Add(Log1p<kFull>(wide, hn::Sub(at, one_wide)), log_total);
      hn::StoreU(log_total, wide, out.log_total.lanes + j);
    });
  }

  // Of the logits that are not -inf; see Spread.
  HWY_NOINLINE void SpreadOf(const LaneTile<T>& tile, Sums& out) const {
    const V least = hn::Neg(hn::Inf(d)), one = hn::Set(d, T{1});
    Numbers totals[2], squares;
    SumClasses<2>(d, n_, totals, [&](size_t c, V* sums) HWY_ATTR {
      const V z = tile.Class(d, c);
      const auto is_masked = hn::Eq(z, least);
      sums[0] = hn::Add(sums[0], hn::IfThenZeroElse(is_masked, z));
      sums[1] = hn::Add(sums[1], hn::IfThenZeroElse(is_masked, one));
    });
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto mean = hn::Div(hn::LoadU(wide, totals[0].lanes + j), hn::LoadU(wide, totals[1].lanes + j));
      hn::StoreU(mean, wide, out.mean.lanes + j);
      AddToCheck(wide, j, mean, out);
    });
    out.counted = totals[1];
    const V mean = NarrowLanes(d, out.mean);
    SumClasses<1>(d, n_, &squares, [&](size_t c, V* sums) HWY_ATTR {
      const V z = tile.Class(d, c);
      const V distance = hn::IfThenZeroElse(hn::Eq(z, least), hn::Sub(z, mean));
      sums[0] = hn::MulAdd(distance, distance, sums[0]);
    });
    Numbers rounded;
    WidenLanes(d, mean, rounded);
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto square = hn::LoadU(wide, squares.lanes + j), zero = hn::Zero(wide);
      const auto shift = hn::Sub(hn::LoadU(wide, out.mean.lanes + j), hn::LoadU(wide, rounded.lanes + j));
      const auto mean_square = hn::Div(square, hn::LoadU(wide, out.counted.lanes + j));
      const auto deviation = hn::Sqrt(hn::Max(zero, hn::NegMulAdd(shift, shift, mean_square)));
      hn::StoreU(deviation, wide, out.deviation.lanes + j);
      const auto is_trusted = hn::Or(hn::Eq(square, zero), IsTrustedSquareIn<T>(wide, square));
      AddToCheck(wide, j, hn::IfThenElse(is_trusted, zero, hn::Inf(wide)), out);
    });
  }

  HWY_NOINLINE void LengthOf(const LaneTile<T>& tile, Sums& out) const {
    Numbers totals[2];
    SumClasses<2>(d, n_, totals, [&](size_t c, V* sums) HWY_ATTR {
      const V z = tile.Class(d, c);
      sums[0] = hn::MulAdd(z, z, sums[0]);
      sums[1] = hn::Add(sums[1], hn::Abs(z));
    });
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto square = hn::LoadU(wide, totals[0].lanes + j), zero = hn::Zero(wide);
      const auto is_zero = hn::Eq(hn::LoadU(wide, totals[1].lanes + j), zero);
      hn::StoreU(hn::Sqrt(square), wide, out.length.lanes + j);
      const auto is_trusted = hn::Or(is_zero, IsTrustedSquareIn<T>(wide, square));
      AddToCheck(wide, j, hn::IfThenElse(is_trusted, zero, hn::Inf(wide)), out);
    });
  }

  // The entries of the rows in `measured`, made for all lanes at once; see write_row_statistics.
  HWY_NOINLINE void Write(size_t row, size_t count, uint64_t measured, const LaneTile<T>& tile,
                          const Sums& sums) const {
    const auto write = [&](const vector_view<double>& to, auto entries) HWY_ATTR {
      if (to.empty()) return;
      Numbers values;
      ForEachWide(
          d, [&](auto wide, size_t j) HWY_ATTR { hn::StoreU(entries(wide, j), wide, values.lanes + j); });
      for (size_t r = 0; r < count; ++r)
        if (Contains(measured, r)) to[row + r] = values.lanes[r];
    };
    const auto total = [&](auto wide, size_t j) HWY_ATTR {
      return hn::Add(hn::LoadU(wide, sums.at_maximum.lanes + j), hn::LoadU(wide, sums.rest.lanes + j));
    };
    write(job_.log_sum_exp, [&](auto wide, size_t j) HWY_ATTR {
      return hn::Add(hn::Div(hn::LoadU(wide, sums.maximum.lanes + j), hn::Set(wide, job_.temperature)),
                     hn::LoadU(wide, sums.log_total.lanes + j));
    });
    write(job_.entropy, [&](auto wide, size_t j) HWY_ATTR {
      const auto mean = hn::Div(hn::LoadU(wide, sums.weighted.lanes + j), total(wide, j));
      return hn::MulAdd(mean, hn::Set(wide, kLn2), hn::LoadU(wide, sums.log_total.lanes + j));
    });
    write(job_.largest_probability,
          [&](auto wide, size_t j) HWY_ATTR { return hn::Div(hn::Set(wide, 1.0), total(wide, j)); });
    write(job_.mean, [&](auto wide, size_t j) HWY_ATTR { return hn::LoadU(wide, sums.mean.lanes + j); });
    write(job_.deviation, [&](auto wide, size_t j) HWY_ATTR {
      const auto one = hn::Set(wide, 1.0), counted = hn::LoadU(wide, sums.counted.lanes + j);
      const auto deviation = hn::LoadU(wide, sums.deviation.lanes + j);
      if (!job_.unbiased) return deviation;
      const auto less = hn::Sqrt(hn::Div(counted, hn::Sub(counted, one)));
      return hn::IfThenElse(hn::Gt(counted, one), hn::Mul(less, deviation), deviation);
    });
    write(job_.length, [&](auto wide, size_t j) HWY_ATTR { return hn::LoadU(wide, sums.length.lanes + j); });
    if (job_.needs_label()) WriteLabels(row, count, measured, tile, sums);
    if (!job_.largest_class.empty()) WriteClasses(row, count, measured, tile, sums);
  }

  HWY_INLINE void WriteLabels(size_t row, size_t count, uint64_t measured, const LaneTile<T>& tile,
                              const Sums& sums) const {
    Numbers z = sums.maximum, log_p, others;
    uint64_t ignored = 0;
    for (size_t r = 0; r < count; ++r) {
      if (!Contains(measured, r)) continue;
      const std::int64_t label = job_.labels[row + r];
      if (label == job_.ignore_index)
        ignored |= uint64_t{1} << r;
      else
        z.lanes[r] = static_cast<double>(
            tile.data[static_cast<ptrdiff_t>(label) * tile.pitch + static_cast<ptrdiff_t>(r)]);
    }
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto logit = hn::LoadU(wide, z.lanes + j), maximum = hn::LoadU(wide, sums.maximum.lanes + j);
      const auto at = hn::LoadU(wide, sums.at_maximum.lanes + j), one = hn::Set(wide, 1.0);
      const auto rest = hn::LoadU(wide, sums.rest.lanes + j);
      const auto distance = hn::Div(hn::Sub(logit, maximum), hn::Set(wide, job_.temperature));
      const auto log_of_label = hn::Sub(distance, hn::LoadU(wide, sums.log_total.lanes + j));
      hn::StoreU(log_of_label, wide, log_p.lanes + j);
      const auto below = hn::Neg(Exp2Minus1(wide, hn::Mul(log_of_label, hn::Set(wide, kLog2e))));
      const auto beside = hn::Div(hn::Add(hn::Sub(at, one), rest), hn::Add(at, rest));
      hn::StoreU(hn::IfThenElse(hn::Eq(logit, maximum), beside, below), wide, others.lanes + j);
    });
    for (size_t r = 0; r < count; ++r) {
      if (!Contains(measured, r)) continue;
      const bool is_ignored = Contains(ignored, r);
      if (!job_.label_log_probability.empty())
        job_.label_log_probability[row + r] = is_ignored ? 0 : log_p.lanes[r];
      if (!job_.other_probability.empty()) job_.other_probability[row + r] = is_ignored ? 0 : others.lanes[r];
    }
  }

  HWY_INLINE void WriteClasses(size_t row, size_t count, uint64_t measured, const LaneTile<T>& tile,
                               const Sums& sums) const {
    PerLane<D, T> first;
    V class_of_maximum = hn::Zero(d);
    for (size_t c = n_; c-- > 0;)
      class_of_maximum = hn::IfThenElse(hn::Eq(tile.Class(d, c), sums.maximum_vector),
                                        hn::Set(d, static_cast<T>(c)), class_of_maximum);
    hn::StoreU(class_of_maximum, d, first.lanes);
    for (size_t r = 0; r < count; ++r)
      if (Contains(measured, r)) job_.largest_class[row + r] = static_cast<std::int64_t>(first.lanes[r]);
  }

  const row_statistics_job& job_;
  T* HWY_RESTRICT const scratch_;
  const size_t n_;
  const T scale_;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
