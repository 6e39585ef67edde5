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
#include <distill/simd/temperature_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::correlation_class_slopes;
using detail::correlation_job;
using detail::correlation_row;
using detail::correlation_slope;
using detail::correlation_step;

// ---- one correlation

struct Correlated {
  double distance;          // 1 - correlation
  correlation_slope slope;  // with respect to a
};

// From |a|², |b|² and |a - b|².
HWY_INLINE Correlated CorrelationOf(double own, double other, double difference, double factor) {
  constexpr double kConstant = 1e-200;
  if (own < kConstant || other < kConstant)
    return {(own < kConstant && other < kConstant ? 0 : 1) + 0 * (own + other), {0, 0}};
  const double a = std::sqrt(own), b = std::sqrt(other), gap = a - b;
  const double distance = (difference - gap * gap) / (2 * a * b), kept = distance < 0 ? 0 : distance;
  const double inverse = 1 / a, inverse_gap = inverse - 1 / b;
  return {kept, {factor * inverse * inverse * (1 - kept), factor * inverse * (inverse_gap - kept * inverse)}};
}

// ---- rows

template <class T>
HWY_INLINE void CorrelateRow(const correlation_job& job, size_t index, T* q, T* p) {
  const Doubles d;
  const size_t n = job.student.columns, lanes = hn::Lanes(d);
  correlation_row& row = job.rows[index];
  SoftmaxRow(job.student, index, ExponentScale<T>(job.loss.temperature[index]), row.student_maximum,
             row.student_norm, q);
  SoftmaxRow(job.teacher, index, ExponentScale<T>(job.loss.teacher_temperature[index]), row.teacher_maximum,
             row.teacher_norm, p);
  row.distance = 0;
  row.student = row.teacher = {0, 0};
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
  const double factor = job.row_factor * job.weight(index);
  const double of_student = total(student), of_teacher = total(teacher), apart = total(difference);
  const Correlated r = CorrelationOf(of_student, of_teacher, apart, factor);
  row.distance = r.distance;
  row.student = r.slope;
  if (!job.temperature_slopes.empty())
    row.teacher = CorrelationOf(of_teacher, of_student, apart, factor).slope;
}

// ---- classes

// Weighted sums over the rows, relative to the first row: equal probabilities give exactly 0.
struct ClassSums {
  static constexpr size_t kCount = correlation_job::tile_classes;
  HWY_ALIGN double student_first[kCount], teacher_first[kCount];
  HWY_ALIGN double student[kCount], teacher[kCount];
  HWY_ALIGN double student_squares[kCount], teacher_squares[kCount], difference_squares[kCount];
};

template <class T>
HWY_INLINE void AddRows(ClassSums& sums, const T* q, const T* p, const double* weights, size_t rows,
                        size_t classes, bool first) {
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
      const auto c = hn::Sub(a, b), weight = hn::Set(d, weights[r]);
      const auto weighted_a = hn::Mul(weight, a), weighted_b = hn::Mul(weight, b);
      student = hn::Add(student, weighted_a);
      teacher = hn::Add(teacher, weighted_b);
      student_squares = hn::MulAdd(weighted_a, a, student_squares);
      teacher_squares = hn::MulAdd(weighted_b, b, teacher_squares);
      difference_squares = hn::MulAdd(hn::Mul(weight, c), c, difference_squares);
    }
    hn::Store(student, d, sums.student + j);
    hn::Store(teacher, d, sums.teacher + j);
    hn::Store(student_squares, d, sums.student_squares + j);
    hn::Store(teacher_squares, d, sums.teacher_squares + j);
    hn::Store(difference_squares, d, sums.difference_squares + j);
  }
}

// The slopes of class c with respect to what has this mean, the other side having that one.
HWY_INLINE void StoreClass(const correlation_class_slopes& classes, size_t c, const correlation_slope& slope,
                           double own_mean, double other_mean) {
  classes.difference_slope[c] = slope.difference_slope;
  classes.other_slope[c] = slope.other_slope;
  classes.offset[c] = -slope.difference_slope * (own_mean - other_mean) - slope.other_slope * other_mean;
}

HWY_INLINE void FinishClass(const correlation_job& job, const ClassSums& sums, size_t j, size_t c) {
  const double n = job.weight_sum;
  const auto centered = [&](double squares, double sum) { return squares - sum * (sum / n); };
  const double student = centered(sums.student_squares[j], sums.student[j]);
  const double teacher = centered(sums.teacher_squares[j], sums.teacher[j]);
  const double apart = centered(sums.difference_squares[j], sums.student[j] - sums.teacher[j]);
  const Correlated r = CorrelationOf(student, teacher, apart, job.class_factor);
  const double student_mean = sums.student_first[j] + sums.student[j] / n;
  const double teacher_mean = sums.teacher_first[j] + sums.teacher[j] / n;
  job.class_distances[c] = r.distance;
  StoreClass(job.student_classes, c, r.slope, student_mean, teacher_mean);
  if (!job.temperature_slopes.empty())
    StoreClass(job.teacher_classes, c, CorrelationOf(teacher, student, apart, job.class_factor).slope,
               teacher_mean, student_mean);
}

// A tile of classes, all rows.
template <class T>
HWY_INLINE void CorrelateClasses(const correlation_job& job, size_t begin, size_t count, T* scratch) {
  constexpr size_t kRows = correlation_job::tile_rows, kPitch = correlation_job::tile_classes;
  const input_matrix student = ClassesOf(job.student, begin, count),
                     teacher = ClassesOf(job.teacher, begin, count);
  T* const q = scratch;
  T* const p = scratch + kRows * kPitch;
  ClassSums sums;
  double weights[kRows];
  bool first = true;
  size_t filled = 0;
  for (size_t index = 0; index < job.student.rows; ++index) {
    if (!job.is_in(index)) continue;
    const correlation_row& row = job.rows[index];
    (void)ExponentiateRow(student, index, row.student_maximum, row.student_norm,
                          ExponentScale<T>(job.loss.temperature[index]), q + filled * kPitch);
    (void)ExponentiateRow(teacher, index, row.teacher_maximum, row.teacher_norm,
                          ExponentScale<T>(job.loss.teacher_temperature[index]), p + filled * kPitch);
    weights[filled] = job.weight(index);
    if (++filled < kRows) continue;
    AddRows(sums, q, p, weights, filled, count, first);
    first = false;
    filled = 0;
  }
  if (filled > 0) AddRows(sums, q, p, weights, filled, count, first);
  for (size_t j = 0; j < count; ++j) FinishClass(job, sums, j, begin + j);
}

// ---- slopes of a row

// q and p of a row once more.
template <class T>
HWY_INLINE void ProbabilitiesAgain(const correlation_job& job, size_t index, T* q, T* p) {
  const correlation_row& row = job.rows[index];
  (void)ExponentiateRow(job.student, index, row.student_maximum, row.student_norm,
                        ExponentScale<T>(job.loss.temperature[index]), q);
  (void)ExponentiateRow(job.teacher, index, row.teacher_maximum, row.teacher_norm,
                        ExponentScale<T>(job.loss.teacher_temperature[index]), p);
}

// The slope with respect to one side's probabilities, before T²: of the row's correlation and of the
// classes'.
class ProbabilitySlope {
  using V = hn::Vec<Doubles>;

 public:
  HWY_INLINE ProbabilitySlope(Doubles d, const correlation_slope& row,
                              const correlation_class_slopes& classes, double class_weight)
      : classes_(classes),
        difference_(hn::Set(d, row.difference_slope)),
        other_(hn::Set(d, row.other_slope)),
        weight_(hn::Set(d, class_weight)) {}
  HWY_INLINE V At(Doubles d, size_t j, V own, V other) const {
    const V difference_slope = hn::MulAdd(weight_, hn::LoadU(d, classes_.difference_slope + j), difference_);
    const V other_slope = hn::MulAdd(weight_, hn::LoadU(d, classes_.other_slope + j), other_);
    return hn::MulAdd(difference_slope, hn::Sub(own, other),
                      hn::MulAdd(other_slope, other, hn::Mul(weight_, hn::LoadU(d, classes_.offset + j))));
  }

 private:
  const correlation_class_slopes& classes_;
  V difference_, other_, weight_;
};

template <class T>
HWY_INLINE void CorrelationGradientRow(const correlation_job& job, size_t index, T* q, T* p, double* slopes) {
  const Doubles d;
  const size_t n = job.student.columns, lanes = hn::Lanes(d);
  ProbabilitiesAgain(job, index, q, p);
  const ProbabilitySlope slope(d, job.rows[index].student, job.student_classes, job.class_weight(index));
  auto sum = hn::Zero(d);
  for (size_t j = 0; j < n; j += lanes) {
    const auto v = LoadDoubles(d, q + j), w = LoadDoubles(d, p + j);
    const auto u = slope.At(d, j, v, w);
    hn::StoreU(u, d, slopes + j);
    auto qu = hn::Mul(v, u);
    if (n - j < lanes) qu = hn::IfThenElseZero(hn::FirstN(d, n - j), qu);
    sum = hn::Add(sum, qu);
  }
  const auto mean = hn::SumOfLanes(d, sum);
  const auto factor = hn::Set(d, job.loss.scale(index) / job.loss.temperature[index]);
  for (size_t j = 0; j < n; j += lanes) {
    const auto qv = hn::Mul(LoadDoubles(d, q + j), hn::Sub(hn::LoadU(d, slopes + j), mean));
    StoreDoubles(d, hn::Mul(factor, qv), p + j);
  }
  StoreRow(job.gradient, index, p, job.accumulate);
}

// Logits less the largest, in double; 0 for -inf and up to the end of the scratch row.
HWY_INLINE void LogitsBelow(const input_matrix& m, size_t index, double maximum, size_t pitch, double* out) {
  WithRow(m, index, [&](auto* logits) {
    for (size_t j = 0; j < m.columns; ++j) {
      const double x = Converted<double>(logits[static_cast<ptrdiff_t>(j) * m.column_stride]);
      out[j] = x == -std::numeric_limits<double>::infinity() ? 0 : x - maximum;
    }
  });
  for (size_t j = m.columns; j < pitch; ++j) out[j] = 0;
}

// `logits`: two rows.
template <class T>
HWY_NOINLINE void CorrelationTemperatureSlope(const correlation_job& job, size_t index, T* q, T* p,
                                              double* logits) {
  const Doubles d;
  const size_t n = job.student.columns, lanes = hn::Lanes(d);
  const correlation_row& row = job.rows[index];
  ProbabilitiesAgain(job, index, q, p);
  double* const teacher_logits = logits + job.pitch;
  LogitsBelow(job.student, index, row.student_maximum, job.pitch, logits);
  LogitsBelow(job.teacher, index, row.teacher_maximum, job.pitch, teacher_logits);
  const double class_weight = job.class_weight(index);
  const ProbabilitySlope student_slope(d, row.student, job.student_classes, class_weight),
      teacher_slope(d, row.teacher, job.teacher_classes, class_weight);
  using D = std::remove_const_t<decltype(d)>;
  LogitSlope<D> student(d, 0), teacher(d, 0);
  for (size_t j = 0; j < n; j += lanes) {
    const auto v = LoadDoubles(d, q + j), w = LoadDoubles(d, p + j);
    auto qu = hn::Mul(v, student_slope.At(d, j, v, w)), pw = hn::Mul(w, teacher_slope.At(d, j, w, v));
    if (n - j < lanes) {
      const auto valid = hn::FirstN(d, n - j);
      qu = hn::IfThenElseZero(valid, qu), pw = hn::IfThenElseZero(valid, pw);
    }
    student.Add(d, hn::LoadU(d, logits + j), v, qu);
    teacher.Add(d, hn::LoadU(d, teacher_logits + j), w, pw);
  }
  student.Flush(d);
  teacher.Flush(d);
  const double value = job.weight(index) * job.distance(index) * job.inverse_denominator;
  job.temperature_slopes[index] =
      SlopeFrom(job.loss.temperature[index], job.loss.teacher_temperature[index],
                job.loss.temperature_squared, value, student.Total(d), teacher.Total(d));
}

// A row that does not count.
HWY_INLINE void SkipCorrelationRow(const correlation_job& job, size_t row) {
  if (job.step == correlation_step::temperature_slopes) job.temperature_slopes[row] = 0;
  if (job.step == correlation_step::gradient && !job.accumulate) StoreZeroRow(job.gradient, row);
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
        SkipCorrelationRow(job, row);
      } else if (job.step == correlation_step::temperature_slopes) {
        CorrelationTemperatureSlope(job, row, scratch, p, slopes);
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
