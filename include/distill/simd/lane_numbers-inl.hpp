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
  HWY_ALIGN T slope[kMaxLanes];  // on what a softmax differs from its target
  HWY_ALIGN double temperature[kMaxLanes];
  HWY_ALIGN double teacher_temperature[kMaxLanes];
  HWY_ALIGN double scale[kMaxLanes];  // on the value
  bool same;                          // teacher and student have one temperature, in every lane that counts

  // Once for all rows.
  void Set(D d, const loss_term& term) {
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane)
      temperature[lane] = term.temperature, teacher_temperature[lane] = term.teacher_temperature;
    same = term.temperature == term.teacher_temperature;
    Derive(d, term);
  }
  // For `count` rows from `row` on. Lanes that do not count get numbers that do no harm.
  HWY_NOINLINE void Set(D d, const row_job& job, const loss_term& term, size_t row, size_t count) {
    const row_temperature student = term.row_temperatures.value_or(term.temperature);
    const row_temperature teacher = term.row_teacher_temperatures.value_or(term.teacher_temperature);
    same = true;
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane) {
      const bool counts = lane < count && job.counts(term, row + lane);
      temperature[lane] = counts ? student[row + lane] : term.temperature;
      teacher_temperature[lane] = counts ? teacher[row + lane] : term.teacher_temperature;
      same = same && (!counts || temperature[lane] == teacher_temperature[lane]);
    }
    Derive(d, term);
  }

  template <size_t kPart>
  HWY_INLINE hn::Vec<Wide> Part(const double* lanes) const {
    return hn::LoadU(Wide(), lanes + kPart * hn::Lanes(Wide()));
  }

 private:
  HWY_INLINE void Derive(D d, const loss_term& term) {
    const Wide wide;
    const auto divided = [&](auto numerator, const double* by, T* out) HWY_ATTR {
      const auto part = [&](auto i) HWY_ATTR { return hn::Div(numerator(i), Part<i()>(by)); };
      constexpr std::integral_constant<size_t, 0> first;
      constexpr std::integral_constant<size_t, LaneSums<D>::kParts - 1> last;
      hn::Store(LaneSums<D>::Joined(d, part(first), part(last)), d, out);
    };
    const auto log2_e = [&](auto) HWY_ATTR { return hn::Set(wide, kLog2e); };
    divided(log2_e, temperature, student_scale);
    if (same)
      hn::Store(hn::Load(d, student_scale), d, teacher_scale);
    else
      divided(log2_e, teacher_temperature, teacher_scale);
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane)
      scale[lane] = term.temperature_squared ? temperature[lane] * teacher_temperature[lane] : 1;
    divided([&](auto i) HWY_ATTR { return Part<i()>(scale); }, temperature, slope);
  }
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
