// Divergences and angles of pairs of rows, one pair per lane; see teacher_statistics-inl.hpp.
#if defined(DISTILL_SIMD_TEACHER_COMPARISON_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_COMPARISON_LANES_INL_HPP
#undef DISTILL_SIMD_TEACHER_COMPARISON_LANES_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_COMPARISON_LANES_INL_HPP
#endif

#include <distill/simd/teacher_lanes-inl.hpp>
#include <distill/simd/teacher_statistics-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
class ComparisonTiles {
  using T = Real<D>;
  using V = hn::Vec<D>;
  using Numbers = PerLane<D, double>;
  static constexpr D d{};

 public:
  ComparisonTiles(const row_comparison_job& job, T* HWY_RESTRICT scratch)
      : job_(job), scratch_(scratch), n_(job.classes()), scale_(Log2eOver<T>(job.temperature)) {}

  void Run(size_t begin, size_t end) const {
    for (size_t row = begin; row < end; row += hn::Lanes(d)) Tile(row, HWY_MIN(hn::Lanes(d), end - row));
  }

 private:
  void Tile(size_t row, size_t count) const {
    const uint64_t counted = RowsWhere(count, [&](size_t r) { return !job_.is_masked(row + r); });
    Numbers divergence, distance;
    if (counted != 0) {
      T* const staging = scratch_ + 2 * job_.pitch;
      const LaneTile<T> student = LoadCountedRows(d, job_.student, row, count, counted, scratch_, staging);
      const LaneTile<T> teacher =
          LoadCountedRows(d, job_.teacher, row, count, counted, scratch_ + job_.pitch, staging);
      if (!job_.divergence.empty()) DivergenceOf(student, teacher, count, divergence);
      if (!job_.cosine_distance.empty()) CosineDistanceOf(student, teacher, distance);
    }
    Write(job_.divergence, row, count, counted, divergence,
          [&](size_t r) { return resolve_divergence(job_, r); });
    Write(job_.cosine_distance, row, count, counted, distance,
          [&](size_t r) { return resolve_cosine_distance(job_, r); });
  }

  template <class F>
  HWY_INLINE void Write(const vector_view<double>& to, size_t row, size_t count, uint64_t counted,
                        const Numbers& numbers, F resolve) const {
    if (to.empty()) return;
    const bool direct = counted == FirstRows(count) && AllLanesFinite(d, numbers.lanes);
    for (size_t r = 0; r < count; ++r) {
      if (direct || !Contains(counted, r))
        to[row + r] = direct ? numbers.lanes[r] : 0;
      else
        to[row + r] = std::isfinite(numbers.lanes[r]) ? numbers.lanes[r] : resolve(row + r);
    }
  }

  // ExponentiateLanesOf both, so that neither waits for the other.
  HWY_INLINE void ExponentiateBoth(const LaneTile<T>& student, const LaneTile<T>& teacher,
                                   ExponentialLanes<D>& s, ExponentialLanes<D>& t) const {
    const V s_maximum = LaneMaximum(d, student, n_), t_maximum = LaneMaximum(d, teacher, n_);
    const V scale = hn::Set(d, scale_);
    Numbers totals[2];
    SumClasses<2>(d, n_, totals, [&](size_t c, V* sums) HWY_ATTR {
      const V z = hn::Sub(student.Class(d, c), s_maximum), v = hn::Sub(teacher.Class(d, c), t_maximum);
      sums[0] = hn::Add(sums[0], Exp2Fast(d, hn::Mul(z, scale)));
      sums[1] = hn::Add(sums[1], Exp2Fast(d, hn::Mul(v, scale)));
    });
    s.maximum = s_maximum, t.maximum = t_maximum;
    Log2OfTotals(d, totals[0], s.log2_total);
    Log2OfTotals(d, totals[1], t.log2_total);
  }

  HWY_NOINLINE void DivergenceOf(const LaneTile<T>& student, const LaneTile<T>& teacher, size_t count,
                                 Numbers& out) const {
    ExponentialLanes<D> s, t;
    ExponentiateBoth(student, teacher, s, t);
    const uint64_t sound =
        RowsInRange(d, s, count, job_.temperature) & RowsInRange(d, t, count, job_.temperature);
    Numbers log_ratio;
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto ratio =
          hn::Sub(hn::LoadU(wide, t.log2_total.lanes + j), hn::LoadU(wide, s.log2_total.lanes + j));
      hn::StoreU(ratio, wide, log_ratio.lanes + j);
    });
    const V s_log = NarrowLanes(d, s.log2_total), t_log = NarrowLanes(d, t.log2_total);
    const V ratio = NarrowLanes(d, log_ratio), shift = hn::Sub(t.maximum, s.maximum);
    const V scale = hn::Set(d, scale_), s_maximum = s.maximum, t_maximum = t.maximum;
    SumClasses<1>(d, n_, &out, [&](size_t c, V* sums) HWY_ATTR {
      const V z = student.Class(d, c), v = teacher.Class(d, c);
      const V x = hn::MulSub(hn::Sub(v, t_maximum), scale, t_log);
      const V y = hn::MulSub(hn::Sub(z, s_maximum), scale, s_log);
      const V difference = hn::MulSub(hn::Sub(hn::Sub(v, z), shift), scale, ratio);
      sums[0] = hn::Add(sums[0], DivergenceTerm(d, x, y, difference));
    });
    if (sound == FirstRows(count)) return;
    for (size_t r = 0; r < count; ++r)
      if (!Contains(sound, r)) out.lanes[r] = std::numeric_limits<double>::quiet_NaN();
  }

  HWY_NOINLINE void CosineDistanceOf(const LaneTile<T>& student, const LaneTile<T>& teacher,
                                     Numbers& out) const {
    const V least = hn::Neg(hn::Inf(d));
    const auto load = [&](size_t c, V& s, V& t) HWY_ATTR {
      const V z = student.Class(d, c), v = teacher.Class(d, c);
      const auto is_left_out = hn::Or(hn::Eq(z, least), hn::Eq(v, least));
      s = hn::IfThenZeroElse(is_left_out, z);
      t = hn::IfThenZeroElse(is_left_out, v);
    };
    Numbers squares[2], ratios, square;
    SumClasses<2>(d, n_, squares, [&](size_t c, V* sums) HWY_ATTR {
      V s, t;
      load(c, s, t);
      sums[0] = hn::MulAdd(s, s, sums[0]);
      sums[1] = hn::MulAdd(t, t, sums[1]);
    });
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto s = hn::LoadU(wide, squares[0].lanes + j), t = hn::LoadU(wide, squares[1].lanes + j);
      hn::StoreU(hn::Sqrt(hn::Div(s, t)), wide, ratios.lanes + j);
    });
    const V ratio = NarrowLanes(d, ratios);
    SumClasses<1>(d, n_, &square, [&](size_t c, V* sums) HWY_ATTR {
      V s, t;
      load(c, s, t);
      const V difference = hn::NegMulAdd(t, ratio, s);
      sums[0] = hn::MulAdd(difference, difference, sums[0]);
    });
    ForEachWide(d, [&](auto wide, size_t j) HWY_ATTR {
      const auto s = hn::LoadU(wide, squares[0].lanes + j), t = hn::LoadU(wide, squares[1].lanes + j);
      const auto distance = hn::Div(hn::LoadU(wide, square.lanes + j), hn::Add(s, s));
      const auto sound = hn::And(IsTrustedSquareIn<T>(wide, s), IsTrustedSquareIn<T>(wide, t));
      hn::StoreU(hn::IfThenElse(sound, distance, hn::Inf(wide)), wide, out.lanes + j);
    });
  }

  const row_comparison_job& job_;
  T* HWY_RESTRICT const scratch_;
  const size_t n_;
  const T scale_;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
