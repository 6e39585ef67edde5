// Universal logit distillation of rows: both are sorted, exponentiated in that order, compared rank by rank,
// and the slopes carried back to where the logits were.
//
// The sums of exponentials run over sorted rows, so rows that hold the same logits in another order come out
// equal.
#if defined(DISTILL_SIMD_UNIVERSAL_LOGIT_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_UNIVERSAL_LOGIT_ROWS_INL_HPP
#undef DISTILL_SIMD_UNIVERSAL_LOGIT_ROWS_INL_HPP
#else
#define DISTILL_SIMD_UNIVERSAL_LOGIT_ROWS_INL_HPP
#endif

#include <algorithm>
#include <cmath>
#include <distill/loss/universal_logit_job.hpp>
#include <distill/simd/descending_sort-inl.hpp>
#include <distill/simd/probabilities-inl.hpp>
#include <distill/simd/temperature_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::universal_logit_job;

template <class T>
class UniversalLogit {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  using Key = hwy::MakeUnsigned<T>;
  static constexpr D d{};

 public:
  UniversalLogit(const universal_logit_job& job, void* scratch)
      : job_(job),
        q_(static_cast<T*>(scratch)),
        p_(q_ + job.pitch),
        place_(p_ + job.pitch),
        other_place_(place_ + 2 * job.pitch),
        student_logits_(other_place_ + 2 * job.pitch),
        teacher_logits_(student_logits_ + job.pitch),
        counts_(reinterpret_cast<uint32_t*>(q_ + job.scratch_rows() * job.pitch)) {
    static_assert(sizeof(Keyed<T>) == 2 * sizeof(T), "a place for sorting is two rows");
    static_assert(kSortCounts<T> * sizeof(uint32_t) <= universal_logit_job::counter_bytes, "counters");
  }

  void Row(size_t row) {
    const size_t n = job_.student.columns;
    SortTeacher(row);
    const SortScratch<Keyed<T>> student = SortStudent(row);
    const Comparison found = Compare();
    const double value = found.distance, scale = job_.loss.scale(row);
    const double factor = job_.factor * static_cast<double>(job_.weight(row));
    job_.values[row] = scale * value;
    if (!job_.temperature_slopes.empty())
      job_.temperature_slopes[row] = factor * TemperatureSlope(row, value);
    if (job_.gradient.data == nullptr) return;
    const double poison = std::isnan(value) ? value : 0;
    const double slope = factor * scale;
    WriteSlopes(found.mean_slope, slope / job_.loss.temperature[row] + poison);
    // The sort has left this place free.
    T* const gradient = reinterpret_cast<T*>(student.others);
    for (size_t j = 0; j < n; ++j) gradient[student.items[j].Id()] = q_[j];
    StoreRow(job_.gradient, row, gradient, job_.accumulate);
  }

 private:
  struct Comparison {
    double distance, mean_slope;
  };

  // Σ exp of sorted logits becomes 1; zeros up to the longer row's end.
  void Normalize(T* sorted, size_t n, double temperature) const {
    const double maximum = static_cast<double>(sorted[0]);
    const double sum = Exponentiate(sorted, n, maximum, 1, ExponentScale<T>(temperature), sorted);
    // Divided, because a product could be fused into the difference of two of them, which would not be 0
    // then.
    const V divisor = hn::Set(d, static_cast<T>(sum));
    const size_t lanes = hn::Lanes(d);
    size_t j = 0;
    for (; j < n; j += lanes) hn::StoreU(hn::Div(hn::LoadU(d, sorted + j), divisor), d, sorted + j);
    for (; j < job_.longest(); j += lanes) hn::StoreU(hn::Zero(d), d, sorted + j);
  }

  void SortTeacher(size_t row) const {
    const size_t n = job_.teacher.columns;
    const T* const logits = RowAs<T>(job_.teacher, row, p_);
    SortScratch<Key> s{reinterpret_cast<Key*>(place_), reinterpret_cast<Key*>(other_place_), counts_};
    for (size_t j = 0; j < n; ++j) s.items[j] = DescendingKey(logits[j]);
    SortItems(s, n);
    for (size_t j = 0; j < n; ++j) p_[j] = ValueOfKey<T>(s.items[j]);
    if (!job_.temperature_slopes.empty()) std::copy_n(p_, n, teacher_logits_);
    Normalize(p_, n, job_.loss.teacher_temperature[row]);
  }

  SortScratch<Keyed<T>> SortStudent(size_t row) const {
    const size_t n = job_.student.columns;
    const T* const logits = RowAs<T>(job_.student, row, q_);
    SortScratch<Keyed<T>> s{reinterpret_cast<Keyed<T>*>(place_), reinterpret_cast<Keyed<T>*>(other_place_),
                            counts_};
    for (size_t j = 0; j < n; ++j) s.items[j] = Keyed<T>(DescendingKey(logits[j]), j);
    SortItems(s, n);
    for (size_t j = 0; j < n; ++j) q_[j] = ValueOfKey<T>(KeyOf(s.items[j]));
    if (!job_.temperature_slopes.empty()) std::copy_n(q_, n, student_logits_);
    Normalize(q_, n, job_.loss.temperature[row]);
    return s;
  }

  static V Signed(V q, V p) {
    const V zero = hn::Zero(d);
    return hn::IfThenElse(hn::Gt(q, p), q, hn::IfThenElse(hn::Lt(q, p), hn::Neg(q), zero));
  }

  Comparison Compare() const {
    WideSum<D> distance(d), slope(d);
    V distance_block = hn::Zero(d), slope_block = hn::Zero(d);
    ForEachVector(
        d, RoundedUp(),
        [&](size_t j, size_t) HWY_ATTR {
          const V q = hn::LoadU(d, q_ + j), p = hn::LoadU(d, p_ + j);
          distance_block = hn::Add(distance_block, hn::Abs(hn::Sub(q, p)));
          slope_block = hn::Add(slope_block, Signed(q, p));
        },
        [&]() HWY_ATTR {
          distance.Add(d, distance_block);
          slope.Add(d, slope_block);
          distance_block = slope_block = hn::Zero(d);
        });
    return {distance.Total(d), slope.Total(d)};
  }

  // Σ x (g - b Σ g) of sorted logits x, their probabilities b and g = b sign(b - c).
  static double OfLogits(const T* logits, const T* own, const T* other, size_t n) {
    LogitSlope<D> sums(d, OrZero(logits[0]));
    ForEachVector(
        d, n,
        [&](size_t j, size_t count) HWY_ATTR {
          const V b = hn::LoadU(d, own + j);
          sums.Add(d, LoadLogits(d, logits + j, count), b, Signed(b, hn::LoadU(d, other + j)));
        },
        [&]() HWY_ATTR { sums.Flush(d); });
    return sums.Total(d);
  }
  HWY_NOINLINE double TemperatureSlope(size_t row, double value) const {
    const double student = OfLogits(student_logits_, q_, p_, job_.student.columns);
    const double teacher = OfLogits(teacher_logits_, p_, q_, job_.teacher.columns);
    return SlopeFrom(job_.loss.temperature[row], job_.loss.teacher_temperature[row],
                     job_.loss.temperature_squared, value, student, teacher);
  }

  // Over the student's probabilities, still in their order.
  void WriteSlopes(double mean_slope, double factor) const {
    const V mean = hn::Set(d, static_cast<T>(mean_slope)), k = hn::Set(d, static_cast<T>(factor));
    for (size_t j = 0; j < job_.student.columns; j += hn::Lanes(d)) {
      const V q = hn::LoadU(d, q_ + j);
      hn::StoreU(hn::Mul(k, hn::NegMulAdd(q, mean, Signed(q, hn::LoadU(d, p_ + j)))), d, q_ + j);
    }
  }

  size_t RoundedUp() const { return (job_.longest() + hn::Lanes(d) - 1) / hn::Lanes(d) * hn::Lanes(d); }

  const universal_logit_job& job_;
  T *const q_, *const p_, *const place_, *const other_place_, *const student_logits_, *const teacher_logits_;
  uint32_t* const counts_;
};

// Rows [begin, end) in the compute type T.
template <class T>
void UniversalLogitRows(const universal_logit_job& job, size_t begin, size_t end, void* scratch) {
  UniversalLogit<T> kernel(job, scratch);
  for (size_t row = begin; row < end; ++row) {
    if (job.weight(row) != 0) {
      kernel.Row(row);
      continue;
    }
    if (!job.temperature_slopes.empty()) job.temperature_slopes[row] = 0;
    if (job.gradient.data != nullptr && !job.accumulate) StoreZeroRow(job.gradient, row);
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
