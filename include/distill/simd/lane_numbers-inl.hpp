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
  using V = hn::Vec<D>;
  using Wide = hn::Vec<typename LaneSums<D>::Wide>;
  V teacher_scale, student_scale;  // log2 e / temperature
  V inverse;                       // 1 / the student's temperature
  V slope;                         // on what a softmax differs from its target
  Wide temperature[2], scale[2];   // the student's; on values
  bool same;                       // teacher and student have one temperature, in every lane

  // The same in every lane.
  HWY_INLINE LaneNumbers(D d, const loss_term& term) {
    const typename LaneSums<D>::Wide wide;
    const PairScale<T> pair = ScaleOf<T>(term);
    teacher_scale = hn::Set(d, pair.teacher_scale), student_scale = hn::Set(d, pair.student_scale);
    inverse = hn::Set(d, static_cast<T>(1 / term.temperature));
    slope = hn::Set(d, static_cast<T>(term.scale() / term.temperature));
    temperature[0] = temperature[1] = hn::Set(wide, term.temperature);
    scale[0] = scale[1] = hn::Set(wide, term.scale());
    same = term.temperature == term.teacher_temperature;
  }

  // A row's in each, for the rows from `row` on that count.
  HWY_NOINLINE LaneNumbers(D d, const row_job& job, const loss_term& term, size_t row, size_t count) {
    constexpr size_t kMaxLanes = HWY_MAX_BYTES / sizeof(T);
    const typename LaneSums<D>::Wide wide;
    detail::row_term at_row(term);
    same = true;
    HWY_ALIGN T of_teacher[kMaxLanes], of_student[kMaxLanes], inverses[kMaxLanes], slopes[kMaxLanes];
    HWY_ALIGN double temperatures[kMaxLanes], scales[kMaxLanes];
    for (size_t r = 0; r < hn::Lanes(d); ++r) {
      const bool counts = r < count && job.counts(term, row + r);
      const loss_term& own = counts ? at_row.at(row + r) : term;
      const PairScale<T> pair = ScaleOf<T>(own);
      of_teacher[r] = pair.teacher_scale, of_student[r] = pair.student_scale;
      inverses[r] = static_cast<T>(1 / own.temperature);
      slopes[r] = static_cast<T>(own.scale() / own.temperature);
      temperatures[r] = own.temperature, scales[r] = own.scale();
      same = same && (!counts || own.temperature == own.teacher_temperature);
    }
    teacher_scale = hn::Load(d, of_teacher), student_scale = hn::Load(d, of_student);
    inverse = hn::Load(d, inverses), slope = hn::Load(d, slopes);
    for (size_t part = 0; part < LaneSums<D>::kParts; ++part) {
      temperature[part] = hn::LoadU(wide, temperatures + part * hn::Lanes(wide));
      scale[part] = hn::LoadU(wide, scales + part * hn::Lanes(wide));
    }
  }
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
