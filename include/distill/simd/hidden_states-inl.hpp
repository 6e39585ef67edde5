// Distances between rows of hidden states, and their gradients.
#if defined(DISTILL_SIMD_HIDDEN_STATES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_HIDDEN_STATES_INL_HPP
#undef DISTILL_SIMD_HIDDEN_STATES_INL_HPP
#else
#define DISTILL_SIMD_HIDDEN_STATES_INL_HPP
#endif

#include <cmath>
#include <distill/alignment/hidden_states_job.hpp>
#include <distill/simd/row_walk-inl.hpp>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::hidden_kind;
using detail::hidden_states_job;

template <class T>
struct HiddenRow {
  const T* student;
  const T* teacher;
  T* gradient;
  size_t width;
  bool add, bypass;
};

// Squared differences, or Huber's: c (d - c / 2) with c the difference cut to [-delta, delta], whose slope is
// c.
template <bool kHuber, class D>
HWY_INLINE double DistanceRow(D d, const HiddenRow<Real<D>>& row, double delta, double factor) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const V slope = hn::Set(d, static_cast<T>(kHuber ? factor : 2 * factor)), half = hn::Set(d, T{0.5});
  const V upper = hn::Set(d, static_cast<T>(delta)), lower = hn::Neg(upper);
  RowWalk<D> walk(row.width, row.gradient, row.add, row.bypass);
  return walk.Run([&](size_t j, size_t count, V& sum) HWY_ATTR {
    const V difference = hn::Sub(LoadFirst(d, row.student + j, count), LoadFirst(d, row.teacher + j, count));
    if constexpr (kHuber) {
      const V cut =
          hn::IfThenElse(hn::IsNaN(difference), difference, hn::Max(lower, hn::Min(upper, difference)));
      sum = hn::MulAdd(cut, hn::NegMulAdd(half, cut, difference), sum);
      return hn::Mul(slope, cut);
    } else {
      sum = hn::MulAdd(difference, difference, sum);
      return hn::Mul(slope, difference);
    }
  });
}

// A masked row: no value, no gradient.
HWY_INLINE void SkipHiddenRow(const hidden_states_job& job, size_t row) {
  job.values[row] = 0;
  if (job.gradient.data != nullptr && !job.accumulate) StoreZeroRow(job.gradient, row);
}

template <class T>
HWY_INLINE HiddenRow<T> HiddenRowOf(const hidden_states_job& job, size_t row, T* HWY_RESTRICT scratch) {
  const auto copy = [&](int index) {
    return index < 0 ? nullptr : scratch + static_cast<size_t>(index) * job.pitch;
  };
  HiddenRow<T> view{RowAs<T>(job.student, row, copy(job.student_copy)),
                    RowAs<T>(job.teacher, row, copy(job.teacher_copy)),
                    copy(job.gradient_copy),
                    job.width(),
                    job.accumulate && job.gradient_copy < 0,
                    job.bypass_cache && job.gradient_copy < 0};
  if (job.gradient.data != nullptr && job.gradient_copy < 0)
    view.gradient =
        static_cast<T*>(job.gradient.data) + static_cast<ptrdiff_t>(row) * job.gradient.row_stride;
  return view;
}

template <class T>
HWY_INLINE double DistanceOfRow(const hidden_states_job& job, size_t row, T* HWY_RESTRICT scratch) {
  const hn::ScalableTag<T> d;
  const HiddenRow<T> view = HiddenRowOf(job, row, scratch);
  const double factor = job.factor * static_cast<double>(job.weight(row));
  const double value = job.loss.kind == hidden_kind::mse ? DistanceRow<false>(d, view, 1, factor)
                                                         : DistanceRow<true>(d, view, job.loss.delta, factor);
  if (job.gradient_copy >= 0) StoreRow(job.gradient, row, view.gradient, job.accumulate);
  return value;
}

// 1 - cos of the rows' angles, which is half the squared distance s - t of the directions: rows at less than
// a wide angle are evaluated by that difference, so that equal rows give exactly 0 and nearly equal ones keep
// their digits.
template <class D>
class DirectionRows {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};
  // Squares outside are not trusted: the value is NaN then, and the gradient not written.
  static constexpr double kLeastSquare = sizeof(T) == 4 ? 1e-26 : 1e-280;
  static constexpr double kMostSquare = sizeof(T) == 4 ? 1e30 : 1e280;
  static constexpr double kNear = 0.125;

 public:
  DirectionRows(const hidden_states_job& job, T* scratch)
      : job_(job), scratch_(scratch), scale_(job.loss.kind == hidden_kind::cosine ? 1 : 2) {}

  // The value; the gradient is written unless the value is NaN.
  double OneRow(size_t row) const {
    Directions all;
    all.row = HiddenRowOf(job_, row, scratch_);
    const Squares squares = SquaresOf(all.row);
    const bool in_range = squares.student > kLeastSquare && squares.student < kMostSquare &&
                          squares.teacher > kLeastSquare && squares.teacher < kMostSquare;
    if (!in_range) return std::numeric_limits<double>::quiet_NaN();
    const double student_norm = std::sqrt(squares.student), teacher_norm = std::sqrt(squares.teacher);
    all.ratio = static_cast<T>(student_norm / teacher_norm);
    double value = 1 - squares.product / (student_norm * teacher_norm), along = value;
    if (value < kNear) {
      value = DistanceOf(all, along) / squares.student / 2;
      along /= squares.student;
    }
    if (all.row.gradient != nullptr) {
      all.along = static_cast<T>(along);
      all.slope =
          static_cast<T>(job_.factor * static_cast<double>(job_.weight(row)) * scale_ / squares.student);
      WriteGradient(all);
      if (job_.gradient_copy >= 0) StoreRow(job_.gradient, row, all.row.gradient, job_.accumulate);
    }
    return scale_ * value;
  }

 private:
  // The difference of the directions in units of the student's length is student - ratio teacher, the ratio
  // being that of the lengths; the gradient is slope (difference - along student).
  struct Directions {
    HiddenRow<T> row;
    T ratio, along, slope;
  };
  struct Squares {
    double student, teacher, product;
  };

  static HWY_INLINE void Accumulate(const HiddenRow<T>& row, size_t j, size_t count, V& ss, V& tt, V& st) {
    const V x = LoadFirst(d, row.student + j, count), y = LoadFirst(d, row.teacher + j, count);
    ss = hn::MulAdd(x, x, ss);
    tt = hn::MulAdd(y, y, tt);
    st = hn::MulAdd(x, y, st);
  }

  // Inlined, as is WriteGradient: a call between the two delays the loads of the next row.
  static HWY_INLINE Squares SquaresOf(const HiddenRow<T>& row) {
    const size_t n = row.width, lanes = hn::Lanes(d);
    WideSum<D> student(d), teacher(d), product(d);
    V ss = hn::Zero(d), tt = ss, st = ss, ss1 = ss, tt1 = ss, st1 = ss;
    size_t j = 0;
    while (j + lanes <= n) {
      const size_t end = HWY_MIN(n, j + kBlockVectors * lanes);
      for (; j + 2 * lanes <= end; j += 2 * lanes) {
        Accumulate(row, j, lanes, ss, tt, st);
        Accumulate(row, j + lanes, lanes, ss1, tt1, st1);
      }
      if (j + lanes <= end) {
        Accumulate(row, j, lanes, ss, tt, st);
        j += lanes;
      }
      student.Add(d, hn::Add(ss, ss1));
      teacher.Add(d, hn::Add(tt, tt1));
      product.Add(d, hn::Add(st, st1));
      ss = tt = st = ss1 = tt1 = st1 = hn::Zero(d);
    }
    if (j < n) Accumulate(row, j, n - j, ss, tt, st);
    student.Add(d, ss);
    teacher.Add(d, tt);
    product.Add(d, st);
    return {student.Total(d), teacher.Total(d), product.Total(d)};
  }

  // Σ difference², and Σ student difference, which has the rounding error of the ratio in it.
  static HWY_NOINLINE double DistanceOf(const Directions& all, double& along) {
    const HiddenRow<T> row = all.row;
    const V ratio = hn::Set(d, all.ratio);
    V part = hn::Zero(d);
    RowWalk<D> walk(row.width, nullptr, false, false);
    const double square = walk.Run([&](size_t j, size_t count, V& sum) HWY_ATTR {
      const V s = LoadFirst(d, row.student + j, count);
      const V difference = hn::NegMulAdd(LoadFirst(d, row.teacher + j, count), ratio, s);
      sum = hn::MulAdd(difference, difference, sum);
      part = hn::MulAdd(difference, s, part);
      return s;
    });
    WideSum<D> sum(d);
    sum.Add(d, part);
    along = sum.Total(d);
    return square;
  }

  static HWY_INLINE void WriteGradient(const Directions& all) {
    const HiddenRow<T> row = all.row;
    const V ratio = hn::Set(d, all.ratio);
    const V along = hn::Set(d, all.along), slope = hn::Set(d, all.slope);
    RowWalk<D> walk(row.width, row.gradient, row.add, row.bypass);
    walk.Run([&](size_t j, size_t count, V&) HWY_ATTR {
      const V s = LoadFirst(d, row.student + j, count);
      const V difference = hn::NegMulAdd(LoadFirst(d, row.teacher + j, count), ratio, s);
      return hn::Mul(slope, hn::NegMulAdd(along, s, difference));
    });
  }

  const hidden_states_job& job_;
  T* const scratch_;
  const double scale_;
};

// Rows [begin, end) of a job in the compute type T.
template <class T>
void HiddenStatesRows(const hidden_states_job& job, size_t begin, size_t end, void* scratch) {
  T* const copies = static_cast<T*>(scratch);
  const DirectionRows<std::remove_const_t<decltype(hn::ScalableTag<T>())>> directions(job, copies);
  for (size_t row = begin; row < end; ++row) {
    if (job.weight(row) == 0)
      SkipHiddenRow(job, row);
    else
      job.values[row] = job.loss.normalizes() ? directions.OneRow(row) : DistanceOfRow(job, row, copies);
  }
  if (job.bypass_cache) hwy::FlushStream();
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
