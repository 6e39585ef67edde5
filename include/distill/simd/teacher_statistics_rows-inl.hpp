// Rows measured and compared: row by row, or one row per lane.
#if defined(DISTILL_SIMD_TEACHER_STATISTICS_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_STATISTICS_ROWS_INL_HPP
#undef DISTILL_SIMD_TEACHER_STATISTICS_ROWS_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_STATISTICS_ROWS_INL_HPP
#endif

#include <distill/simd/teacher_comparison_lanes-inl.hpp>
#include <distill/simd/teacher_statistics_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
void RowStatisticsRows(const row_statistics_job& job, size_t begin, size_t end, void* scratch) {
  const hn::ScalableTag<T> d;
  if (job.across_rows) {
    StatisticsTiles<std::remove_const_t<decltype(d)>>(job, static_cast<T*>(scratch)).Run(begin, end);
    return RestoreX87();
  }
  T* const copy = static_cast<T*>(scratch);
  for (size_t row = begin; row < end; ++row) {
    row_sums sums;
    if (!job.is_masked(row) && !SumsOfRow(d, job, RowAs<T>(job.logits, row, copy), sums))
      sums = resolve_row_sums(job, row);
    write_row_statistics(job, row, sums);
  }
  RestoreX87();
}

template <class T>
void RowComparisonRows(const row_comparison_job& job, size_t begin, size_t end, void* scratch) {
  const hn::ScalableTag<T> d;
  if (job.across_rows) {
    ComparisonTiles<std::remove_const_t<decltype(d)>>(job, static_cast<T*>(scratch)).Run(begin, end);
    return RestoreX87();
  }
  const auto copy = [&](int index) {
    return index < 0 ? nullptr : static_cast<T*>(scratch) + static_cast<size_t>(index) * job.pitch;
  };
  for (size_t row = begin; row < end; ++row) {
    double divergence = 0, distance = 0;
    if (!job.is_masked(row)) {
      const T* const student = RowAs<T>(job.student, row, copy(job.student_copy));
      const T* const teacher = RowAs<T>(job.teacher, row, copy(job.teacher_copy));
      if (!job.divergence.empty()) divergence = DivergenceOfRows(d, job, student, teacher);
      if (!job.cosine_distance.empty()) distance = CosineDistanceOfRows(d, job.classes(), student, teacher);
      if (!std::isfinite(divergence)) divergence = resolve_divergence(job, row);
      if (!std::isfinite(distance)) distance = resolve_cosine_distance(job, row);
    }
    if (!job.divergence.empty()) job.divergence[row] = divergence;
    if (!job.cosine_distance.empty()) job.cosine_distance[row] = distance;
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
