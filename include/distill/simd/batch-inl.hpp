// Distances and angles between the rows of a batch, and their gradients.
#if defined(DISTILL_SIMD_BATCH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_BATCH_INL_HPP
#undef DISTILL_SIMD_BATCH_INL_HPP
#else
#define DISTILL_SIMD_BATCH_INL_HPP
#endif

#include <cmath>
#include <distill/alignment/batch_job.hpp>
#include <distill/simd/row_walk-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::batch_job;
using detail::batch_step;

template <class T>
HWY_INLINE T* BatchRow(const void* matrix, size_t columns, size_t row) {
  return const_cast<T*>(static_cast<const T*>(matrix)) + row * columns;
}

// ---- rows between the caller and the batch

template <class T>
HWY_INLINE void GatherRow(const batch_job& job, size_t i) {
  T* const out = BatchRow<T>(job.a, job.columns, i);
  const T* const row = RowAs<T>(job.source, job.rows == nullptr ? i : job.rows[i], out);
  if (row == out) return;
  for (size_t j = 0; j < job.columns; ++j) out[j] = row[j];
}

// Relative to the first row, so that equal rows become exactly 0.
template <class T>
HWY_INLINE void CenterColumns(const batch_job& job, size_t begin, size_t end) {
  constexpr size_t kColumns = 64;
  for (size_t first = begin; first < end; first += kColumns) {
    const size_t n = HWY_MIN(kColumns, end - first);
    const T* const origin = BatchRow<T>(job.a, job.columns, 0) + first;
    double base[kColumns], sums[kColumns] = {};
    for (size_t j = 0; j < n; ++j) base[j] = static_cast<double>(origin[j]);
    for (size_t i = 0; i < job.count; ++i) {
      const T* const row = BatchRow<T>(job.a, job.columns, i) + first;
      for (size_t j = 0; j < n; ++j) sums[j] += static_cast<double>(row[j]) - base[j];
    }
    for (size_t j = 0; j < n; ++j) sums[j] /= static_cast<double>(job.count);
    for (size_t i = 0; i < job.count; ++i) {
      T* const row = BatchRow<T>(job.a, job.columns, i) + first;
      for (size_t j = 0; j < n; ++j) row[j] = static_cast<T>(static_cast<double>(row[j]) - base[j] - sums[j]);
    }
  }
}

template <class T>
HWY_INLINE void ScatterRows(const batch_job& job, size_t begin, size_t end) {
  size_t i = 0;
  if (job.rows == nullptr) {
    for (i = begin; i < end; ++i)
      StoreRow(job.gradient, i, BatchRow<T>(job.a, job.columns, i), job.accumulate);
    return;
  }
  while (i < job.count && job.rows[i] < begin) ++i;
  for (size_t row = begin; row < end; ++row) {
    if (i < job.count && job.rows[i] == row)
      StoreRow(job.gradient, row, BatchRow<T>(job.a, job.columns, i++), job.accumulate);
    else if (!job.accumulate)
      StoreZeroRow(job.gradient, row);
  }
}

// ---- distances

template <class D>
HWY_NOINLINE Real<D> ExactSquare(D d, const Real<D>* x, const Real<D>* y, size_t width) {
  RowWalk<D> walk(width, nullptr, false, false);
  return static_cast<Real<D>>(walk.Run([&](size_t j, size_t count, hn::Vec<D>& sum) HWY_ATTR {
    const auto difference = hn::Sub(LoadFirst(d, x + j, count), LoadFirst(d, y + j, count));
    sum = hn::MulAdd(difference, difference, sum);
    return difference;
  }));
}

// ‖x_i‖² + ‖x_j‖² - 2 ⟨x_i, x_j⟩, which loses digits for pairs that are near beside their distance from the
// mean: those are computed from their difference instead.
template <class D>
HWY_INLINE void PairDistanceRow(D d, const batch_job& job, size_t i) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t n = job.count, lanes = hn::Lanes(d);
  T* const row = BatchRow<T>(job.a, n, i);
  const T* const squares = static_cast<const T*>(job.squares);
  const T* const x = BatchRow<T>(job.points, job.width, i);
  const V square = hn::Set(d, squares[i]), near = hn::Set(d, T{0.125}), two = hn::Set(d, T{2});
  WideSum<D> total(d);
  for (size_t j = 0; j < n; j += lanes) {
    const size_t count = HWY_MIN(lanes, n - j);
    const V both = hn::Add(square, LoadFirst(d, squares + j, count));
    V value = hn::NegMulAdd(two, LoadFirst(d, row + j, count), both);
    if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Gt(value, hn::Mul(near, both))))) {
      HWY_ALIGN T values[HWY_MAX_BYTES / sizeof(T)], sums[HWY_MAX_BYTES / sizeof(T)];
      hn::Store(value, d, values);
      hn::Store(both, d, sums);
      for (size_t k = 0; k < lanes; ++k) {
        if (k >= count || j + k == i)
          values[k] = T{0};
        else if (!(values[k] > T{0.125} * sums[k]))
          values[k] = ExactSquare(d, x, BatchRow<T>(job.points, job.width, j + k), job.width);
      }
      value = hn::Load(d, values);
    }
    if (count < lanes) value = hn::IfThenElseZero(hn::FirstN(d, count), value);
    if (job.roots) value = hn::Sqrt(value);
    StoreFirst(d, value, row + j, count);
    total.Add(d, value);
  }
  job.row_sums[i] = total.Total(d);
}

template <class D>
HWY_INLINE void ReciprocalRow(D d, const batch_job& job, size_t i) {
  using T = Real<D>;
  const T* const a = BatchRow<T>(job.a, job.count, i);
  T* const out = BatchRow<T>(job.b, job.count, i);
  const auto zero = hn::Zero(d), one = hn::Set(d, T{1});
  for (size_t j = 0; j < job.count; j += hn::Lanes(d)) {
    const size_t count = HWY_MIN(hn::Lanes(d), job.count - j);
    const auto v = LoadFirst(d, a + j, count);
    StoreFirst(d, hn::IfThenZeroElse(hn::Eq(v, zero), hn::Div(one, hn::Sqrt(v))), out + j, count);
  }
}

// Huber's function with its bend at 1, and its slope; NaN stays NaN.
template <class D>
HWY_INLINE hn::Vec<D> HuberSlope(D d, hn::Vec<D> u) {
  const auto one = hn::Set(d, Real<D>{1});
  return hn::IfThenElse(hn::IsNaN(u), u, hn::Max(hn::Neg(one), hn::Min(one, u)));
}
template <class D>
HWY_INLINE hn::Vec<D> AddHuber(D d, hn::Vec<D> u, hn::Vec<D> slope, hn::Vec<D> sum) {
  return hn::MulAdd(slope, hn::NegMulAdd(hn::Set(d, Real<D>{0.5}), slope, u), sum);
}

template <class D>
HWY_INLINE void HuberRow(D d, const batch_job& job, size_t i) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const T* const a = BatchRow<T>(job.a, job.count, i);
  T* const b = BatchRow<T>(job.b, job.count, i);
  // (a - ratio b) scale, whose ratio is exactly 1 for equal batches; distances that are all 0 need no scale.
  const bool all_zero = job.scale_a == 0;
  const V ratio = hn::Set(d, static_cast<T>(all_zero ? job.scale_b : job.scale_b / job.scale_a));
  const V scale = hn::Set(d, static_cast<T>(all_zero ? 1 : job.scale_a));
  WideSum<D> values(d), dots(d);
  for (size_t j = 0; j < job.count; j += hn::Lanes(d)) {
    const size_t count = HWY_MIN(hn::Lanes(d), job.count - j);
    const V x = LoadFirst(d, a + j, count);
    const V u = hn::Mul(hn::NegMulAdd(LoadFirst(d, b + j, count), ratio, x), scale);
    const V slope = HuberSlope(d, u);
    values.Add(d, AddHuber(d, u, slope, hn::Zero(d)));
    dots.Add(d, hn::Mul(slope, x));
    StoreFirst(d, slope, b + j, count);
  }
  job.row_sums[i] = values.Total(d);
  job.row_dots[i] = dots.Total(d);
}

// From slopes with respect to normalised distances to those with respect to pairs of rows: (slope scale -
// shift) / a.
template <class D>
HWY_INLINE void PairSlopeRow(D d, const batch_job& job, size_t i) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const T* const a = BatchRow<T>(job.a, job.count, i);
  T* const b = BatchRow<T>(job.b, job.count, i);
  const V scale = hn::Set(d, static_cast<T>(job.scale_a)), shift = hn::Set(d, static_cast<T>(job.shift));
  for (size_t j = 0; j < job.count; j += hn::Lanes(d)) {
    const size_t count = HWY_MIN(hn::Lanes(d), job.count - j);
    const V x = LoadFirst(d, a + j, count);
    const V slope = hn::Div(hn::MulSub(LoadFirst(d, b + j, count), scale, shift), x);
    StoreFirst(d, hn::IfThenZeroElse(hn::Eq(x, hn::Zero(d)), slope), b + j, count);
  }
}

// ---- angles

// At vertex j between rows i and k: cos = (a_ij + a_jk - a_ik) / (2 √a_ij √a_jk), a squared distances. Row i
// of c gets the slopes of Σ Huber(cos - teacher's cos) over all j and k with respect to its squared
// distances. The bound on a cosine also keeps compilers from fusing one of two products into the difference,
// which would not be 0 for equal batches then.
template <class D>
HWY_INLINE void AngleRow(D d, const batch_job& job, size_t i) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t n = job.count, lanes = hn::Lanes(d);
  const auto row = [&](const void* m, size_t r) { return BatchRow<T>(m, n, r); };
  const T *const student = static_cast<const T*>(job.a), *const student_inverse =
                                                             static_cast<const T*>(job.b);
  const T *const teacher = static_cast<const T*>(job.e), *const teacher_inverse = teacher + n * n;
  T* const slopes = row(job.c, i);
  for (size_t k = 0; k < n; ++k) slopes[k] = T{0};
  const V half = hn::Set(d, T{0.5}), own = hn::Set(d, static_cast<T>(i));
  WideSum<D> values(d);
  for (size_t j = 0; j < n; ++j) {
    if (j == i) continue;
    const V p = hn::Set(d, row(student, i)[j]), p_inverse = hn::Set(d, row(student_inverse, i)[j]);
    const V t = hn::Set(d, row(teacher, i)[j]), t_inverse = hn::Set(d, row(teacher_inverse, i)[j]);
    const V p_inverse_square = hn::Mul(p_inverse, p_inverse);
    V value = hn::Zero(d), leg = hn::Zero(d);
    for (size_t k = 0; k < n; k += lanes) {
      const size_t count = HWY_MIN(lanes, n - k);
      const V scale = hn::Mul(half, hn::Mul(p_inverse, LoadFirst(d, row(student_inverse, j) + k, count)));
      const V reach = hn::Sub(hn::Add(p, LoadFirst(d, row(student, j) + k, count)),
                              LoadFirst(d, row(student, i) + k, count));
      const V cosine = AtLeast(d, hn::Mul(reach, scale), T{-1});
      const V other_scale =
          hn::Mul(half, hn::Mul(t_inverse, LoadFirst(d, row(teacher_inverse, j) + k, count)));
      const V other_reach = hn::Sub(hn::Add(t, LoadFirst(d, row(teacher, j) + k, count)),
                                    LoadFirst(d, row(teacher, i) + k, count));
      const V u = hn::IfThenZeroElse(hn::Eq(hn::Iota(d, static_cast<T>(k)), own),
                                     hn::Sub(cosine, AtLeast(d, hn::Mul(other_reach, other_scale), T{-1})));
      const V slope = HuberSlope(d, u);
      value = AddHuber(d, u, slope, value);
      const V part = hn::Mul(slope, scale);
      leg = hn::Add(leg, hn::NegMulAdd(hn::Mul(slope, cosine), hn::Mul(half, p_inverse_square), part));
      StoreFirst(d, hn::Sub(LoadFirst(d, slopes + k, count), part), slopes + k, count);
    }
    values.Add(d, value);
    WideSum<D> legs(d);
    legs.Add(d, leg);
    slopes[j] += static_cast<T>(2 * legs.Total(d));
  }
  job.row_sums[i] = values.Total(d);
}

// ---- from slopes to the matrix that multiplies the rows

template <class T>
HWY_INLINE void SymmetrizeTiles(const batch_job& job, size_t begin, size_t end) {
  const size_t n = job.count;
  T* const a = static_cast<T*>(job.a);
  for (size_t top = begin * batch_job::tile_rows; top < HWY_MIN(n, end * batch_job::tile_rows);
       top += batch_job::tile_rows)
    for (size_t left = top; left < n; left += batch_job::tile_rows)
      for (size_t i = top; i < HWY_MIN(n, top + batch_job::tile_rows); ++i)
        for (size_t j = HWY_MAX(i, left); j < HWY_MIN(n, left + batch_job::tile_rows); ++j)
          a[i * n + j] = a[j * n + i] = a[i * n + j] + a[j * n + i];
}

template <class D>
HWY_INLINE void DifferenceRow(D d, const batch_job& job, size_t i) {
  using T = Real<D>;
  T* const a = BatchRow<T>(job.a, job.count, i);
  const auto factor = hn::Set(d, static_cast<T>(-job.factor));
  a[i] = T{0};
  WideSum<D> sum(d);
  for (size_t j = 0; j < job.count; j += hn::Lanes(d)) {
    const size_t count = HWY_MIN(hn::Lanes(d), job.count - j);
    const auto v = hn::Mul(factor, LoadFirst(d, a + j, count));
    sum.Add(d, v);
    StoreFirst(d, v, a + j, count);
  }
  a[i] = static_cast<T>(-sum.Total(d));
}

template <class D>
HWY_INLINE void BatchRange(D d, const batch_job& job, size_t begin, size_t end) {
  using T = Real<D>;
  if (job.step == batch_step::center) return CenterColumns<T>(job, begin, end);
  if (job.step == batch_step::symmetrize) return SymmetrizeTiles<T>(job, begin, end);
  if (job.step == batch_step::scatter) return ScatterRows<T>(job, begin, end);
  for (size_t i = begin; i < end; ++i) {
    switch (job.step) {
      case batch_step::gather:
        GatherRow<T>(job, i);
        break;
      case batch_step::distances:
        PairDistanceRow(d, job, i);
        break;
      case batch_step::reciprocals:
        ReciprocalRow(d, job, i);
        break;
      case batch_step::huber:
        HuberRow(d, job, i);
        break;
      case batch_step::pair_slopes:
        PairSlopeRow(d, job, i);
        break;
      case batch_step::angles:
        AngleRow(d, job, i);
        break;
      default:
        DifferenceRow(d, job, i);
        break;
    }
  }
}

// What the step of the job runs over: [begin, end).
inline void BatchRows(const batch_job& job, size_t begin, size_t end) {
  if (job.type == element_type::float64)
    BatchRange(hn::ScalableTag<double>(), job, begin, end);
  else
    BatchRange(hn::ScalableTag<float>(), job, begin, end);
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
