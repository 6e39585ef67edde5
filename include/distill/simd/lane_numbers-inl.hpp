// What a loss is given for each of as many rows as a vector has lanes.
#if defined(DISTILL_SIMD_LANE_NUMBERS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_LANE_NUMBERS_INL_HPP
#undef DISTILL_SIMD_LANE_NUMBERS_INL_HPP
#else
#define DISTILL_SIMD_LANE_NUMBERS_INL_HPP
#endif

#include <distill/loss/row_job.hpp>
#include <distill/simd/lane_sums-inl.hpp>
#include <distill/simd/loss_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::row_job;

// The temperatures of a term, one row per lane, and what follows from them.
template <class D>
struct LaneNumbers {
  using T = Real<D>;
  using Wide = typename LaneSums<D>::Wide;
  static constexpr size_t kMaxLanes = HWY_MAX_BYTES / sizeof(T);
  HWY_ALIGN T teacher_scale[kMaxLanes];  // log2 e / temperature
  HWY_ALIGN T student_scale[kMaxLanes];
  HWY_ALIGN T inverse[kMaxLanes];  // 1 / the student's temperature
  HWY_ALIGN T slope[kMaxLanes];    // on what a softmax differs from its target
  HWY_ALIGN double temperature[kMaxLanes];
  HWY_ALIGN double scale[kMaxLanes];  // on the value
  bool same;                          // teacher and student have one temperature, in every lane that counts

  // Once for all rows.
  void Set(D d, const loss_term& term) {
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane) SetLane(lane, term);
    same = term.temperature == term.teacher_temperature;
  }
  // For `count` rows from `row` on. Lanes that do not count get numbers that do no harm.
  HWY_NOINLINE void Set(D d, const row_job& job, const loss_term& term, size_t row, size_t count) {
    detail::row_term at_row(term);
    same = true;
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane) {
      const bool counts = lane < count && job.counts(term, row + lane);
      const loss_term& own = counts ? at_row.at(row + lane) : term;
      SetLane(lane, own);
      same = same && (!counts || own.temperature == own.teacher_temperature);
    }
  }

  template <size_t kPart>
  HWY_INLINE hn::Vec<Wide> Part(const double* lanes) const {
    return hn::LoadU(Wide(), lanes + kPart * hn::Lanes(Wide()));
  }

 private:
  void SetLane(size_t lane, const loss_term& term) {
    const PairScale<T> pair = ScaleOf<T>(term);
    teacher_scale[lane] = pair.teacher_scale;
    student_scale[lane] = pair.student_scale;
    inverse[lane] = static_cast<T>(1 / term.temperature);
    slope[lane] = static_cast<T>(term.scale() / term.temperature);
    temperature[lane] = term.temperature;
    scale[lane] = term.scale();
  }
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
