// Correlations of teacher and student within rows and within classes, and their gradient.
//
// Probabilities are of the compute type; all that is computed from them is in double, whose lanes read
// either. With a and b the centred q and p, 1 - r = (|a - b|² - (|a| - |b|)²) / (2 |a| |b|): no subtraction
// of nearly equal numbers where teacher and student nearly agree. Slopes are written with a - b for the same
// reason, and so that they are 0 for equal ones whatever a compiler fuses.
#if defined(DISTILL_SIMD_CORRELATION_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_CORRELATION_INL_HPP
#undef DISTILL_SIMD_CORRELATION_INL_HPP
#else
#define DISTILL_SIMD_CORRELATION_INL_HPP
#endif

#include <cmath>
#include <distill/loss/correlation_job.hpp>
#include <distill/simd/probabilities-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::correlation_job;
using detail::correlation_row;
using detail::correlation_step;

// ---- one correlation

struct Correlated {
  double distance;  // 1 - correlation
  double difference_slope, teacher_slope;
};

// From |a|², |b|² and |a - b|².
HWY_INLINE Correlated CorrelationOf(double student, double teacher, double difference, double factor) {
  constexpr double kConstant = 1e-200;
  if (student < kConstant || teacher < kConstant)
    return {(student < kConstant && teacher < kConstant ? 0 : 1) + 0 * (student + teacher), 0, 0};
  const double a = std::sqrt(student), b = std::sqrt(teacher), gap = a - b;
  const double distance = (difference - gap * gap) / (2 * a * b), kept = distance < 0 ? 0 : distance;
  const double inverse = 1 / a, inverse_gap = inverse - 1 / b;
  return {kept, factor * inverse * inverse * (1 - kept), factor * inverse * (inverse_gap - kept * inverse)};
}

// ---- rows

template <class T>
HWY_INLINE void CorrelateRow(const correlation_job& job, size_t index, T* q, T* p) {
  const Doubles d;
  const size_t n = job.student.columns, lanes = hn::Lanes(d);
  correlation_row& row = job.rows[index];
  SoftmaxRow(job.student, index, ExponentScale<T>(job.loss.temperature), row.student_maximum,
             row.student_norm, q);
  SoftmaxRow(job.teacher, index, ExponentScale<T>(job.loss.teacher_temperature), row.teacher_maximum,
             row.teacher_norm, p);
  row.distance = row.difference_slope = row.teacher_slope = 0;
  if (job.row_factor == 0) return;
  // The mean of probabilities is known, but not that of rounded ones.
  auto student_sum = hn::Zero(d), teacher_sum = student_sum;
  for (size_t j = 0; j < n; j += lanes) {
    student_sum = hn::Add(student_sum, LoadDoubles(d, q + j));
    teacher_sum = hn::Add(teacher_sum, LoadDoubles(d, p + j));
  }
  const auto mean = [&](hn::Vec<Doubles> sum) HWY_ATTR {
    return hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<double>(n));
  };
  const auto student_mean = mean(student_sum), teacher_mean = mean(teacher_sum);
  const auto mean_difference = hn::Sub(student_mean, teacher_mean);
  auto student = hn::Zero(d), teacher = student, difference = student;
  for (size_t j = 0; j < n; j += lanes) {
    const auto v = LoadDoubles(d, q + j), w = LoadDoubles(d, p + j);
    auto a = hn::Sub(v, student_mean), b = hn::Sub(w, teacher_mean);
    auto c = hn::Sub(hn::Sub(v, w), mean_difference);
    if (n - j < lanes) {
      const auto valid = hn::FirstN(d, n - j);
      a = hn::IfThenElseZero(valid, a), b = hn::IfThenElseZero(valid, b), c = hn::IfThenElseZero(valid, c);
    }
    student = hn::MulAdd(a, a, student);
    teacher = hn::MulAdd(b, b, teacher);
    difference = hn::MulAdd(c, c, difference);
  }
  const auto total = [&](hn::Vec<Doubles> v) HWY_ATTR { return hn::GetLane(hn::SumOfLanes(d, v)); };
  const Correlated r = CorrelationOf(total(student), total(teacher), total(difference), job.row_factor);
  row.distance = r.distance;
  row.difference_slope = r.difference_slope;
  row.teacher_slope = r.teacher_slope;
}

// ---- classes

// Sums over the rows, relative to the first row: equal probabilities give exactly 0.
struct ClassSums {
  static constexpr size_t kCount = correlation_job::tile_classes;
  HWY_ALIGN double student_first[kCount], teacher_first[kCount];
  HWY_ALIGN double student[kCount], teacher[kCount];
  HWY_ALIGN double student_squares[kCount], teacher_squares[kCount], difference_squares[kCount];
};

template <class T>
HWY_INLINE void AddRows(ClassSums& sums, const T* q, const T* p, size_t rows, size_t classes, bool first) {
  const Doubles d;
  constexpr size_t kPitch = correlation_job::tile_classes;
  for (size_t j = 0; j < classes; j += hn::Lanes(d)) {
    if (first) {
      for (double* const array :
           {sums.student, sums.teacher, sums.student_squares, sums.teacher_squares, sums.difference_squares})
        hn::Store(hn::Zero(d), d, array + j);
      hn::Store(LoadDoubles(d, q + j), d, sums.student_first + j);
      hn::Store(LoadDoubles(d, p + j), d, sums.teacher_first + j);
    }
    const auto student_first = hn::Load(d, sums.student_first + j),
               teacher_first = hn::Load(d, sums.teacher_first + j);
    auto student = hn::Load(d, sums.student + j), teacher = hn::Load(d, sums.teacher + j);
    auto student_squares = hn::Load(d, sums.student_squares + j);
    auto teacher_squares = hn::Load(d, sums.teacher_squares + j);
    auto difference_squares = hn::Load(d, sums.difference_squares + j);
    for (size_t r = 0; r < rows; ++r) {
      const auto a = hn::Sub(LoadDoubles(d, q + r * kPitch + j), student_first);
      const auto b = hn::Sub(LoadDoubles(d, p + r * kPitch + j), teacher_first);
      const auto c = hn::Sub(a, b);
      student = hn::Add(student, a);
      teacher = hn::Add(teacher, b);
      student_squares = hn::MulAdd(a, a, student_squares);
      teacher_squares = hn::MulAdd(b, b, teacher_squares);
      difference_squares = hn::MulAdd(c, c, difference_squares);
    }
    hn::Store(student, d, sums.student + j);
    hn::Store(teacher, d, sums.teacher + j);
    hn::Store(student_squares, d, sums.student_squares + j);
    hn::Store(teacher_squares, d, sums.teacher_squares + j);
    hn::Store(difference_squares, d, sums.difference_squares + j);
  }
}

HWY_INLINE void FinishClass(const correlation_job& job, const ClassSums& sums, size_t j, size_t c) {
  const double n = static_cast<double>(job.count);
  const auto centered = [&](double squares, double sum) { return squares - sum * (sum / n); };
  const Correlated r = CorrelationOf(
      centered(sums.student_squares[j], sums.student[j]), centered(sums.teacher_squares[j], sums.teacher[j]),
      centered(sums.difference_squares[j], sums.student[j] - sums.teacher[j]), job.class_factor);
  const double student_mean = sums.student_first[j] + sums.student[j] / n;
  const double teacher_mean = sums.teacher_first[j] + sums.teacher[j] / n;
  job.classes.distance[c] = r.distance;
  job.classes.difference_slope[c] = r.difference_slope;
  job.classes.teacher_slope[c] = r.teacher_slope;
  job.classes.offset[c] =
      -r.difference_slope * (student_mean - teacher_mean) - r.teacher_slope * teacher_mean;
}

// A tile of classes, all rows.
template <class T>
HWY_INLINE void CorrelateClasses(const correlation_job& job, size_t begin, size_t count, T* scratch) {
  constexpr size_t kRows = correlation_job::tile_rows, kPitch = correlation_job::tile_classes;
  const input_matrix student = ClassesOf(job.student, begin, count),
                     teacher = ClassesOf(job.teacher, begin, count);
  const T student_scale = ExponentScale<T>(job.loss.temperature);
  const T teacher_scale = ExponentScale<T>(job.loss.teacher_temperature);
  T* const q = scratch;
  T* const p = scratch + kRows * kPitch;
  ClassSums sums;
  bool first = true;
  size_t filled = 0;
  for (size_t index = 0; index < job.student.rows; ++index) {
    if (!job.is_in(index)) continue;
    const correlation_row& row = job.rows[index];
    (void)ExponentiateRow(student, index, row.student_maximum, row.student_norm, student_scale,
                          q + filled * kPitch);
    (void)ExponentiateRow(teacher, index, row.teacher_maximum, row.teacher_norm, teacher_scale,
                          p + filled * kPitch);
    if (++filled < kRows) continue;
    AddRows(sums, q, p, filled, count, first);
    first = false;
    filled = 0;
  }
  if (filled > 0) AddRows(sums, q, p, filled, count, first);
  for (size_t j = 0; j < count; ++j) FinishClass(job, sums, j, begin + j);
}

// ---- gradient

template <class T>
HWY_INLINE void CorrelationGradientRow(const correlation_job& job, size_t index, T* q, T* p, double* slopes) {
  const Doubles d;
  const size_t n = job.student.columns, lanes = hn::Lanes(d);
  const correlation_row& row = job.rows[index];
  (void)ExponentiateRow(job.student, index, row.student_maximum, row.student_norm,
                        ExponentScale<T>(job.loss.temperature), q);
  (void)ExponentiateRow(job.teacher, index, row.teacher_maximum, row.teacher_norm,
                        ExponentScale<T>(job.loss.teacher_temperature), p);
  const auto row_difference = hn::Set(d, row.difference_slope), row_teacher = hn::Set(d, row.teacher_slope);
  auto sum = hn::Zero(d);
  for (size_t j = 0; j < n; j += lanes) {
    const auto v = LoadDoubles(d, q + j), w = LoadDoubles(d, p + j);
    const auto difference_slope = hn::Add(row_difference, hn::LoadU(d, job.classes.difference_slope + j));
    const auto teacher_slope = hn::Add(row_teacher, hn::LoadU(d, job.classes.teacher_slope + j));
    const auto u = hn::MulAdd(difference_slope, hn::Sub(v, w),
                              hn::MulAdd(teacher_slope, w, hn::LoadU(d, job.classes.offset + j)));
    hn::StoreU(u, d, slopes + j);
    auto qu = hn::Mul(v, u);
    if (n - j < lanes) qu = hn::IfThenElseZero(hn::FirstN(d, n - j), qu);
    sum = hn::Add(sum, qu);
  }
  const auto mean = hn::SumOfLanes(d, sum), factor = hn::Set(d, job.gradient_factor);
  for (size_t j = 0; j < n; j += lanes) {
    const auto qv = hn::Mul(LoadDoubles(d, q + j), hn::Sub(hn::LoadU(d, slopes + j), mean));
    StoreDoubles(d, hn::Mul(factor, qv), p + j);
  }
  StoreRow(job.gradient, index, p, job.accumulate);
}

// What the step of the job runs over: [begin, end).
template <class T>
void CorrelationRows(const correlation_job& job, size_t begin, size_t end, void* memory) {
  T* const scratch = static_cast<T*>(memory);
  if (job.step == correlation_step::classes) {
    const size_t last = HWY_MIN(job.student.columns, end * correlation_job::block_classes);
    for (size_t c = begin * correlation_job::block_classes; c < last; c += correlation_job::tile_classes)
      CorrelateClasses(job, c, HWY_MIN(correlation_job::tile_classes, last - c), scratch);
  } else {
    T* const p = scratch + job.pitch;
    double* const slopes = reinterpret_cast<double*>(p + job.pitch);
    for (size_t row = begin; row < end; ++row) {
      if (!job.is_in(row)) {
        if (job.step == correlation_step::gradient && !job.accumulate) StoreZeroRow(job.gradient, row);
      } else if (job.step == correlation_step::rows) {
        CorrelateRow(job, row, scratch, p);
      } else {
        CorrelationGradientRow(job, row, scratch, p, slopes);
      }
    }
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
