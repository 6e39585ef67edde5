// What is summed over a row of logits, or over a pair of rows, for adaptive weights and temperatures.
#if defined(DISTILL_SIMD_TEACHER_STATISTICS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_STATISTICS_INL_HPP
#undef DISTILL_SIMD_TEACHER_STATISTICS_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_STATISTICS_INL_HPP
#endif

#include <cmath>
#include <distill/simd/teacher_sums-inl.hpp>
#include <distill/teacher/row_statistics_job.hpp>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::row_comparison_job;
using detail::row_statistics_job;
using detail::row_sums;

// Squares within this range have all their digits in the compute type.
template <class T>
inline constexpr double kLeastTrusted = sizeof(T) == 4 ? 1e-26 : 1e-280;
template <class T>
inline constexpr double kMostTrusted = sizeof(T) == 4 ? 1e30 : 1e280;
template <class T>
HWY_INLINE bool IsTrustedSquare(double square) {
  return square > kLeastTrusted<T> && square < kMostTrusted<T>;
}
template <class T, class W>
HWY_INLINE hn::Mask<W> IsTrustedSquareIn(W wide, hn::Vec<W> square) {
  return hn::And(hn::Gt(square, hn::Set(wide, kLeastTrusted<T>)),
                 hn::Lt(square, hn::Set(wide, kMostTrusted<T>)));
}

// The exponentials below the maximum are summed apart from those at it, so that a sure row keeps the digits
// of what is left.
template <class D>
HWY_NOINLINE void ExponentialSums(D d, const Real<D>* p, size_t n, double temperature, row_sums& out) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const V maximum = hn::Set(d, static_cast<T>(out.maximum)), scale = hn::Set(d, Log2eOver<T>(temperature));
  const V one = hn::Set(d, T{1});
  double totals[3];
  SumRow<3>(d, n, totals, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V z = LoadLogitsFirst(d, p + j, count);
    const V x = hn::Mul(hn::Sub(z, maximum), scale);
    const V e = Exp2Fast(d, x);
    const auto is_maximum = hn::Eq(z, maximum);
    sums[0] = hn::Add(sums[0], hn::IfThenElseZero(is_maximum, one));
    sums[1] = hn::Add(sums[1], hn::IfThenZeroElse(is_maximum, e));
    sums[2] = hn::NegMulAdd(e, AtLeast(d, x, kLeastExponent<T>), sums[2]);
  });
  out.at_maximum = totals[0];
  out.rest = totals[1];
  out.weighted = totals[2] * kLn2;
}

// Of the logits that are not -inf.
template <class D>
HWY_NOINLINE void Spread(D d, const Real<D>* p, size_t n, row_sums& out) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const V least = hn::Neg(hn::Inf(d)), one = hn::Set(d, T{1});
  double totals[2];
  SumRow<2>(d, n, totals, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V z = LoadLogitsFirst(d, p + j, count);
    const auto is_masked = hn::Eq(z, least);
    sums[0] = hn::Add(sums[0], hn::IfThenZeroElse(is_masked, z));
    sums[1] = hn::Add(sums[1], hn::IfThenZeroElse(is_masked, one));
  });
  out.counted = totals[1];
  out.mean = totals[0] / totals[1];
  // Distances from the mean in the compute type; what its rounding adds to each is taken off at the end.
  const T rounded = static_cast<T>(out.mean);
  const V mean = hn::Set(d, rounded);
  double square;
  SumRow<1>(d, n, &square, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V z = LoadLogitsFirst(d, p + j, count);
    const V distance = hn::IfThenZeroElse(hn::Eq(z, least), hn::Sub(z, mean));
    sums[0] = hn::MulAdd(distance, distance, sums[0]);
  });
  const double shift = out.mean - static_cast<double>(rounded);
  const bool is_trusted = square == 0 || IsTrustedSquare<T>(square);
  out.deviation = is_trusted ? std::sqrt(HWY_MAX(0.0, square / totals[1] - shift * shift))
                             : std::numeric_limits<double>::quiet_NaN();
}

template <class D>
HWY_NOINLINE double Length(D d, const Real<D>* p, size_t n) {
  using V = hn::Vec<D>;
  double square;
  SumRow<1>(d, n, &square, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V z = LoadFirst(d, p + j, count);
    sums[0] = hn::MulAdd(z, z, sums[0]);
  });
  if (IsTrustedSquare<Real<D>>(square)) return std::sqrt(square);
  // A masked row's gradient is 0 throughout: no reason to leave the kernel.
  double sizes;
  SumRow<1>(d, n, &sizes, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    sums[0] = hn::Add(sums[0], hn::Abs(LoadFirst(d, p + j, count)));
  });
  return sizes == 0 ? 0 : std::numeric_limits<double>::quiet_NaN();
}

// False where the range of the compute type did not suffice.
template <class D>
HWY_INLINE bool SumsOfRow(D d, const row_statistics_job& job, const Real<D>* p, row_sums& out) {
  const size_t n = job.classes();
  if (job.needs_maximum()) {
    out.maximum = static_cast<double>(MaximumOfRow(d, p, n));
    if (!IsInRange<Real<D>>(out.maximum, job.temperature)) return false;
    // Also where only the class is asked for: NaN elsewhere in the row shows in the sums.
    ExponentialSums(d, p, n, job.temperature, out);
  }
  if (job.needs_spread()) Spread(d, p, n, out);
  if (!job.length.empty()) out.length = Length(d, p, n);
  return std::isfinite(out.rest + out.weighted + out.mean + out.deviation + out.length);
}

// ---- pairs of rows

template <class D>
struct ExponentialRow {
  const Real<D>* p;
  Real<D> maximum, scale;
  double total;
};

template <class D>
HWY_NOINLINE ExponentialRow<D> Exponentiated(D d, const Real<D>* p, size_t n, double temperature) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  ExponentialRow<D> row{p, MaximumOfRow(d, p, n), Log2eOver<T>(temperature), 0};
  const V maximum = hn::Set(d, row.maximum), scale = hn::Set(d, row.scale);
  SumRow<1>(d, n, &row.total, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V z = LoadLogitsFirst(d, p + j, count);
    sums[0] = hn::Add(sums[0], Exp2Fast(d, hn::Mul(hn::Sub(z, maximum), scale)));
  });
  if (!IsInRange<T>(static_cast<double>(row.maximum), temperature))
    row.total = std::numeric_limits<double>::quiet_NaN();
  return row;
}

template <class D>
HWY_NOINLINE double DivergenceOfRows(D d, const row_comparison_job& job, const Real<D>* student,
                                     const Real<D>* teacher) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t n = job.classes();
  const ExponentialRow<D> s = Exponentiated(d, student, n, job.temperature);
  const ExponentialRow<D> t = Exponentiated(d, teacher, n, job.temperature);
  const double log_s = std::log2(s.total), log_t = std::log2(t.total);
  if (!std::isfinite(log_s + log_t)) return std::numeric_limits<double>::quiet_NaN();
  const V s_maximum = hn::Set(d, s.maximum), t_maximum = hn::Set(d, t.maximum), scale = hn::Set(d, s.scale);
  const V s_log = hn::Set(d, static_cast<T>(log_s)), t_log = hn::Set(d, static_cast<T>(log_t));
  const V shift = hn::Set(d, t.maximum - s.maximum), ratio = hn::Set(d, static_cast<T>(log_t - log_s));
  double total;
  SumRow<1>(d, n, &total, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V z = LoadLogitsFirst(d, student + j, count), v = LoadLogitsFirst(d, teacher + j, count);
    const V x = hn::MulSub(hn::Sub(v, t_maximum), scale, t_log);
    const V y = hn::MulSub(hn::Sub(z, s_maximum), scale, s_log);
    const V difference = hn::MulSub(hn::Sub(hn::Sub(v, z), shift), scale, ratio);
    sums[0] = hn::Add(sums[0], DivergenceTerm(d, x, y, difference));
  });
  return total;
}

// Half the squared distance of the rows over their lengths, which is 1 - cos without the cancellation.
template <class D>
HWY_NOINLINE double CosineDistanceOfRows(D d, size_t n, const Real<D>* student, const Real<D>* teacher) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const V least = hn::Neg(hn::Inf(d));
  const auto load = [&](const T* p, const T* other, size_t j, size_t count) HWY_ATTR {
    const V v = LoadFirst(d, p + j, count);
    return hn::IfThenZeroElse(hn::Or(hn::Eq(v, least), hn::Eq(LoadFirst(d, other + j, count), least)), v);
  };
  double squares[2];
  SumRow<2>(d, n, squares, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V s = load(student, teacher, j, count), t = load(teacher, student, j, count);
    sums[0] = hn::MulAdd(s, s, sums[0]);
    sums[1] = hn::MulAdd(t, t, sums[1]);
  });
  if (!IsTrustedSquare<T>(squares[0]) || !IsTrustedSquare<T>(squares[1]))
    return std::numeric_limits<double>::quiet_NaN();
  const double exact = std::sqrt(squares[0] / squares[1]);
  const T rounded = static_cast<T>(exact);
  const V ratio = hn::Set(d, rounded);
  double square;
  SumRow<1>(d, n, &square, [&](size_t j, size_t count, V* sums) HWY_ATTR {
    const V s = load(student, teacher, j, count), t = load(teacher, student, j, count);
    const V difference = hn::NegMulAdd(t, ratio, s);
    sums[0] = hn::MulAdd(difference, difference, sums[0]);
  });
  return square / (2 * squares[0]);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
